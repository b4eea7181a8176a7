using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// h = conv3x3(resample(silu(gn(x))));   e = W silu(emb) + b
/// h = gn(h) * (1 + scale) + shift, [scale|shift] = e;   or without scale-shift norm: h = gn(h + e)
/// y = skip(resample(x)) + conv3x3(dropout(silu(h)))
/// </summary>
/// <remarks>The main path resamples after SiLU, the skip path resamples the raw x.</remarks>
internal static class ResBlock
{
    // x: [N,H,W,In]   emb: [N,E]   result: [N,H',W',Out]
    public static Node Build(NetworkBuilder network, ResSpec spec, Node x, Node emb)
    {
        Module at = network[spec.Path];
        Node h = at["in_layers.1"].Silu(at["in_layers.0"].GroupNorm(x));
        if (spec.Resampling != Resampling.None)
        {
            ResampleMode mode = spec.Resampling == Resampling.Up ? ResampleMode.Up2 : ResampleMode.Down2;
            Node main = h;
            Node raw = x;
            h = at["h_upd"].Do(g => g.Resample(main, mode));
            x = at["x_upd"].Do(g => g.Resample(raw, mode));
        }

        h = at["in_layers.2"].Conv3x3(h, spec.Out);
        h = Condition(network, at, h, emb, spec.Out);
        h = at["out_layers.1"].Silu(h);
        h = network.Dropout(at["out_layers.2"], h);
        h = at["out_layers.3"].Conv3x3(h, spec.Out);

        Node skip = spec.In == spec.Out ? x : at["skip_connection"].Linear(x, spec.Out, kernelDims: 2);
        Node y = at.Do(g => g.Plus(skip, h));
        return network.Config.RescaleResidual ? at.Do(g => g.Scale(y, Math.Sqrt(0.5))) : y;
    }

    private static Node Condition(NetworkBuilder network, Module at, Node h, Node emb, int width)
    {
        Module norm = at["out_layers.0"];
        Node e = at["emb_layers.0"].Silu(emb);
        if (!network.Config.UseScaleShiftNorm)
        {
            Node bias = at["emb_layers.1"].Linear(e, width);
            return norm.GroupNorm(at["emb_layers.1"].Do(g => g.AddPerSample(h, bias)));
        }

        Node scaleShift = at["emb_layers.1"].Linear(e, 2 * width);
        Node normalised = norm.GroupNorm(h);
        return norm.Do(g => g.Modulate(normalised, scaleShift));
    }
}
