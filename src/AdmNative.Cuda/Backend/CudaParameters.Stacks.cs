using AdmNative.Core;

namespace AdmNative.Cuda;

// Weights that kernels want one after another.
internal sealed partial class CudaParameters
{
    private readonly Dictionary<string, CuHandle> _stacks = [];

    /// <summary>
    /// Weights one after another in one block, each in the form and type; made on first demand and resident from then on. A weight whose copy in this form nobody
    /// runs on has it there from then on.
    /// </summary>
    /// <exception cref="CheckpointException">A weight is not among those loaded, or of another shape.</exception>
    public ulong Stack(IReadOnlyList<Node> parameters, WeightForm form, KernelDType type)
    {
        string key = $"{form}:{type}:{string.Join(':', parameters.Select(p => p.Name))}";
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (!_stacks.TryGetValue(key, out CuHandle? stack))
            {
                Weight[] weights = [.. parameters.Select(p => Find(p.Name!, p.Shape))];
                try
                {
                    stack = Join(parameters, weights, form, type);
                }
                catch (CudaException e)
                {
                    throw _context.About(e, $"weight {parameters[0].Name} {parameters[0].Shape} and {weights.Length - 1} more in one block");
                }

                _stacks.Add(key, stack);
                ulong address = stack.Address;
                foreach (Weight weight in weights)
                {
                    MoveInto(weight, (form, type), address);
                    address += (ulong)BytesOf(weight.Shape, form, type);
                }
            }

            return stack.Address;
        }
    }

    private static long BytesOf(Shape shape, WeightForm form, KernelDType type) =>
        type.Bytes() * (form == WeightForm.Plain ? shape.Elements : Filters.Of(shape).PackedElements(type));

    private CuHandle Join(IReadOnlyList<Node> parameters, Weight[] weights, WeightForm form, KernelDType type)
    {
        CuHandle stack = _context.Allocate(Math.Max(16, weights.Sum(w => BytesOf(w.Shape, form, type))), "weights in one block");
        try
        {
            ulong address = stack.Address;
            for (int i = 0; i < weights.Length; i++)
            {
                ulong from = weights[i].At((form, type)) ?? Make(weights[i], form, type, parameters[i].Name!).Address;
                long bytes = BytesOf(weights[i].Shape, form, type);
                _context.Ok(_context.Driver.MemcpyDtoD(address, from, (nuint)bytes, _context.Stream), "cuMemcpyDtoD");
                address += (ulong)bytes;
            }

            _context.Ok(_context.Driver.StreamSynchronize(_context.Stream), "cuStreamSynchronize");
            return stack;
        }
        catch
        {
            stack.Dispose();
            throw;
        }
    }

    /// <summary>Unless somebody runs on the weight's own copy, or kernels could not take the other.</summary>
    private static void MoveInto(Weight weight, (WeightForm, KernelDType) form, ulong address)
    {
        if (!weight.InUse.Contains(form) && address % 16 == 0 && weight.Forms.Remove(form, out CuHandle? own))
        {
            own.Dispose();
            weight.Parts.Add(form, address);
            DropPlain(weight);
        }
    }
}
