using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// A gradient of log p(condition | x) with respect to x, already scaled: the reference's cond_fn. Called with x
/// [N,C,H,W], the times the networks are told, and the labels; gives a tensor of x's shape.
/// </summary>
public delegate Tensor ConditionFunction(Tensor x, IReadOnlyList<float> times, IReadOnlyList<int>? labels);

/// <summary>A change to the predicted x_0 [N,C,H,W] before it is clipped: the reference's denoised_fn.</summary>
public delegate Tensor DenoisedFunction(Tensor x0);

/// <summary>What shapes every step of a sampler.</summary>
public sealed record SamplerOptions
{
    /// <summary>Clamp the predicted x_0 to [-1,1].</summary>
    public bool ClipDenoised { get; init; } = true;

    /// <summary>
    /// Multiplies the classifier's gradient; 0 samples without guidance and does not run the classifier.
    /// </summary>
    public double ClassifierScale { get; init; }

    /// <summary>
    /// Evaluate the gradient at the predicted mean with the time of step t-1, as the paper derives it, instead of at
    /// x_t with the time of step t, as its algorithm and the reference do.
    /// </summary>
    public bool GuidanceAtMean { get; init; }

    /// <summary>Guidance by any function instead of the classifier; steps then run in pieces.</summary>
    public ConditionFunction? Condition { get; init; }

    /// <summary>A hook on the predicted x_0; steps then run in pieces.</summary>
    public DenoisedFunction? Denoised { get; init; }
}
