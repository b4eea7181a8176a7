namespace AdmNative.Diffusion;

/// <summary>One column of the paper's training tables (Tables 11, 12 and 13). Model flags, dropout included, are the preset's.</summary>
public sealed record TrainingRecipe
{
    /// <summary>Images per optimiser step over all devices.</summary>
    public required int BatchSize { get; init; }

    /// <summary>Optimiser steps.</summary>
    public required int Iterations { get; init; }

    /// <summary>Learning rate of AdamW with betas 0.9, 0.999 and eps 1e-8.</summary>
    public required double LearningRate { get; init; }

    /// <summary>Decoupled weight decay; the paper states none for diffusion models.</summary>
    public double WeightDecay { get; init; }

    /// <summary>Rate of the moving average of the weights; null for classifiers, which keep none.</summary>
    public double? EmaRate { get; init; } = 0.9999;

    /// <summary>The learning rate falls linearly to zero (the published classifier command line).</summary>
    public bool AnnealLearningRate { get; init; }

    /// <summary>Random crops instead of centre crops (classifiers).</summary>
    public bool RandomCrop { get; init; }
}
