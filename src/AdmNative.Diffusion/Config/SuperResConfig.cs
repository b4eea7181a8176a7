namespace AdmNative.Diffusion;

/// <summary>
/// An upsampler: a U-Net that also sees the small image, resized bilinearly and appended to x along channels (x first).
/// <see cref="NetworkConfig.ImageSize"/> is the large size; <see cref="NetworkConfig.InChannels"/> counts x alone.
/// </summary>
public sealed record SuperResConfig : UNetConfig
{
    /// <summary>Size of the images it is meant to enlarge (small_size); the network itself takes any.</summary>
    public required int SmallSize { get; init; }

    /// <inheritdoc/>
    public override int StemChannels => 2 * InChannels;

    internal override string ImageSizeFlag => "large_size";

    /// <inheritdoc/>
    public override void Validate()
    {
        base.Validate();
        Positive(SmallSize, "small_size");
    }
}
