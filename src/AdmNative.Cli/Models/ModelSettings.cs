using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>The model flags of the programs, in the reference's names and order; those it does not have come last.</summary>
internal static class ModelSettings
{
    private static readonly IReadOnlyList<Setting<DiffusionFlags>> s_diffusion =
    [
        Setting.Bool<DiffusionFlags>("learn_sigma", "The network predicts mean and variance.", f => f.LearnSigma, (f, v) => f with { LearnSigma = v }),
        Setting.Int<DiffusionFlags>("diffusion_steps", "Steps T the model was trained with.", f => f.DiffusionSteps, (f, v) => f with { DiffusionSteps = v }),
        Setting.Choice<DiffusionFlags, NoiseSchedule>("noise_schedule", "Noise schedule the model was trained with.",
            [("linear", NoiseSchedule.Linear), ("cosine", NoiseSchedule.Cosine)], f => f.NoiseSchedule, (f, v) => f with { NoiseSchedule = v }),
        Setting.Text<DiffusionFlags>("timestep_respacing", "250|ddim25|10,10,20", "Steps to take: a count, counts per section, or ddimN; empty takes all.",
            f => f.TimestepRespacing, (f, v) => f with { TimestepRespacing = v }),
        Setting.Bool<DiffusionFlags>("use_kl", "Training loss is the variational bound; no effect here.", f => f.UseKl, (f, v) => f with { UseKl = v }),
        Setting.Bool<DiffusionFlags>("predict_xstart", "The network predicts x_0 instead of the noise.", f => f.PredictXstart, (f, v) => f with { PredictXstart = v }),
        Setting.Bool<DiffusionFlags>("rescale_timesteps", "Networks are told t * 1000 / T.", f => f.RescaleTimesteps, (f, v) => f with { RescaleTimesteps = v }),
        Setting.Bool<DiffusionFlags>("rescale_learned_sigmas", "Training loss is rescaled; no effect here.",
            f => f.RescaleLearnedSigmas, (f, v) => f with { RescaleLearnedSigmas = v }),
        Setting.Bool<DiffusionFlags>("sigma_small", "Without learn_sigma: variance of the posterior instead of beta.", f => f.SigmaSmall, (f, v) => f with { SigmaSmall = v }),
    ];

    /// <summary>Flags of the image model.</summary>
    public static IReadOnlyList<Setting<ImageModelFlags>> Image { get; } =
    [
        Setting.Int<ImageModelFlags>("image_size", "Height and width of the images.", f => f.ImageSize, (f, v) => f with { ImageSize = v }),
        .. Shared<ImageModelFlags>(),
        Setting.Bool<ImageModelFlags>("use_new_attention_order", "qkv channels are Q, K, V of all heads instead of q, k, v per head.",
            f => f.UseNewAttentionOrder, (f, v) => f with { UseNewAttentionOrder = v }),
        .. s_diffusion.Select(s => s.In<ImageModelFlags>(f => f.Diffusion, (f, d) => f with { Diffusion = d })),
    ];

    /// <summary>Flags of the upsampler.</summary>
    public static IReadOnlyList<Setting<SuperResFlags>> SuperRes { get; } =
    [
        Setting.Int<SuperResFlags>("large_size", "Height and width of the results.", f => f.LargeSize, (f, v) => f with { LargeSize = v }),
        Setting.Int<SuperResFlags>("small_size", "Height and width of the base images.", f => f.SmallSize, (f, v) => f with { SmallSize = v }),
        .. Shared<SuperResFlags>(),
        .. s_diffusion.Select(s => s.In<SuperResFlags>(f => f.Diffusion, (f, d) => f with { Diffusion = d })),
    ];

    /// <summary>Flags of the classifier that classifier_sample does not share with the diffusion model.</summary>
    public static IReadOnlyList<Setting<ClassifierFlags>> Classifier { get; } =
    [
        Setting.Bool<ClassifierFlags>("classifier_use_fp16", "Half-precision classifier on a GPU; the cpu computes in f32.", f => f.UseFp16, (f, v) => f with { UseFp16 = v }),
        Setting.Int<ClassifierFlags>("classifier_width", "Base width.", f => f.Width, (f, v) => f with { Width = v }),
        Setting.Int<ClassifierFlags>("classifier_depth", "Residual blocks per resolution.", f => f.Depth, (f, v) => f with { Depth = v }),
        Setting.Text<ClassifierFlags>("classifier_attention_resolutions", "32,16,8", "Image resolutions with attention.",
            f => f.AttentionResolutions, (f, v) => f with { AttentionResolutions = v }),
        Setting.Bool<ClassifierFlags>("classifier_use_scale_shift_norm", "Adaptive group normalisation.",
            f => f.UseScaleShiftNorm, (f, v) => f with { UseScaleShiftNorm = v }),
        Setting.Bool<ClassifierFlags>("classifier_resblock_updown", "Residual blocks resample.", f => f.ResblockUpdown, (f, v) => f with { ResblockUpdown = v }),
        Setting.Choice<ClassifierFlags, PoolKind>("classifier_pool", "Head of the classifier.",
            [.. Enum.GetValues<PoolKind>().Select(p => (FlagText.Word(p), p))], f => FlagText.Pool(f.Pool), (f, v) => f with { Pool = FlagText.Word(v) }),
        Setting.Text<ClassifierFlags>("classifier_channel_mult", "1,2,3,4", "Width per level; empty takes the one of the image size.",
            f => f.ChannelMult, (f, v) => f with { ChannelMult = v }, "channel_mult"),
        Setting.Int<ClassifierFlags>("classifier_num_head_channels", "Channels per attention head.",
            f => f.NumHeadChannels, (f, v) => f with { NumHeadChannels = v }, "num_head_channels"),
    ];

    /// <summary>Flags that the diffusion model and the classifier share on the command line of classifier_sample.</summary>
    public static IReadOnlyList<Setting<ClassifierFlags>> ClassifierShared { get; } =
    [
        Setting.Int<ClassifierFlags>("image_size", "", f => f.ImageSize, (f, v) => f with { ImageSize = v }),
        Setting.Int<ClassifierFlags>("num_classes", "", f => f.NumClasses, (f, v) => f with { NumClasses = v }),
        Setting.Int<ClassifierFlags>("image_channels", "", f => f.ImageChannels, (f, v) => f with { ImageChannels = v }),
        Setting.Bool<ClassifierFlags>("rescale_residual", "", f => f.RescaleResidual, (f, v) => f with { RescaleResidual = v }),
    ];

    private static IReadOnlyList<Setting<T>> Shared<T>() where T : DiffusionModelFlags
    {
        static Func<T, TValue, T> Edit<TValue>(Func<DiffusionModelFlags, TValue, DiffusionModelFlags> edit) => (f, v) => (T)edit(f, v);
        return
        [
            Setting.Int("num_channels", "Base width.", f => f.NumChannels, Edit<int>((f, v) => f with { NumChannels = v })),
            Setting.Int("num_res_blocks", "Residual blocks per resolution.", f => f.NumResBlocks, Edit<int>((f, v) => f with { NumResBlocks = v })),
            Setting.Int("num_heads", "Attention heads where num_head_channels is -1.", f => f.NumHeads, Edit<int>((f, v) => f with { NumHeads = v })),
            Setting.Int("num_heads_upsample", "Heads in the decoder; -1 means as num_heads.", f => f.NumHeadsUpsample, Edit<int>((f, v) => f with { NumHeadsUpsample = v })),
            Setting.Int("num_head_channels", "Channels per attention head; -1 means num_heads heads.", f => f.NumHeadChannels, Edit<int>((f, v) => f with { NumHeadChannels = v })),
            Setting.Text("attention_resolutions", "32,16,8", "Image resolutions with attention.", f => f.AttentionResolutions, Edit<string>((f, v) => f with { AttentionResolutions = v })),
            Setting.Text("channel_mult", "1,2,3,4", "Width per level, decimals allowed; empty takes the one of the image size.", f => f.ChannelMult, Edit<string>((f, v) => f with { ChannelMult = v })),
            Setting.Real("dropout", "Drop probability in training; no effect here.", f => f.Dropout, Edit<double>((f, v) => f with { Dropout = v })),
            Setting.Bool("class_cond", "The network is told a label.", f => f.ClassCond, Edit<bool>((f, v) => f with { ClassCond = v })),
            Setting.Bool("use_checkpoint", "Recompute activations in training; no effect here.", f => f.UseCheckpoint, Edit<bool>((f, v) => f with { UseCheckpoint = v })),
            Setting.Bool("use_scale_shift_norm", "Adaptive group normalisation.", f => f.UseScaleShiftNorm, Edit<bool>((f, v) => f with { UseScaleShiftNorm = v })),
            Setting.Bool("resblock_updown", "Residual blocks resample.", f => f.ResblockUpdown, Edit<bool>((f, v) => f with { ResblockUpdown = v })),
            Setting.Bool("use_fp16", "Half-precision torso on a GPU; the cpu computes in f32.", f => f.UseFp16, Edit<bool>((f, v) => f with { UseFp16 = v })),
            Setting.Int("num_classes", "Number of classes.", f => f.NumClasses, Edit<int>((f, v) => f with { NumClasses = v })),
            Setting.Int("image_channels", "Channels of the images: 3, or 1 for grey.", f => f.ImageChannels, Edit<int>((f, v) => f with { ImageChannels = v })),
            Setting.Bool("conv_resample", "Without resblock_updown: learned convolutions resample.", f => f.ConvResample, Edit<bool>((f, v) => f with { ConvResample = v })),
            Setting.Bool("rescale_residual", "Residual sums over sqrt(2), an ablation of the paper.", f => f.RescaleResidual, Edit<bool>((f, v) => f with { RescaleResidual = v })),
        ];
    }
}
