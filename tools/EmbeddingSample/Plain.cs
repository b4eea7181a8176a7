namespace EmbeddingSample;

/// <summary>What the kernels compute, in plain arithmetic in double precision.</summary>
internal static class Plain
{
    /// <summary>Reproducible values in [-1, 1).</summary>
    public static float[] Values(int count, int seed)
    {
        var random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = (random.NextSingle() * 2) - 1;
        }

        return values;
    }

    /// <summary>y = silu(gamma (x - mean) / sqrt(var + eps) + beta), x [N, P, C], mean and variance per sample and group.</summary>
    public static float[] GroupNorm(float[] x, float[] gamma, float[] beta, int n, int p, int c, int groups, double eps)
    {
        (int d, float[] y) = (c / groups, new float[x.Length]);
        for (int sample = 0; sample < n; sample++)
        {
            for (int g = 0; g < groups; g++)
            {
                (double sum, double squares) = (0, 0);
                for (int i = 0; i < p * d; i++)
                {
                    double v = x[At(i)];
                    (sum, squares) = (sum + v, squares + (v * v));
                }

                double mean = sum / (p * d), rstd = 1 / Math.Sqrt((squares / (p * d)) - (mean * mean) + eps);
                for (int i = 0; i < p * d; i++)
                {
                    int channel = (g * d) + (i % d);
                    double a = (gamma[channel] * (x[At(i)] - mean) * rstd) + beta[channel];
                    y[At(i)] = (float)(a / (1 + Math.Exp(-a)));
                }

                int At(int i) => (((sample * p) + (i / d)) * c) + (g * d) + (i % d);
            }
        }

        return y;
    }

    /// <summary>O = softmax(Q K^T / sqrt(d)) V per head; qkv [N, T, 3 H d]: all of q, then k, then v, heads side by side. O [N, T, H d].</summary>
    public static float[] Attention(float[] qkv, int n, int tokens, int heads, int d)
    {
        int c = heads * d;
        float[] o = new float[n * tokens * c];
        double[] weights = new double[tokens];
        for (int i = 0; i < n * heads * tokens; i++)
        {
            (int sample, int head, int query) = (i / tokens / heads, i / tokens % heads, i % tokens);
            double sum = 0;
            for (int key = 0; key < tokens; key++)
            {
                double dot = 0;
                for (int e = 0; e < d; e++)
                {
                    dot += (double)At(sample, query, 0, head, e) * At(sample, key, 1, head, e);
                }

                weights[key] = Math.Exp(dot / Math.Sqrt(d));
                sum += weights[key];
            }

            for (int e = 0; e < d; e++)
            {
                double value = 0;
                for (int key = 0; key < tokens; key++)
                {
                    value += weights[key] / sum * At(sample, key, 2, head, e);
                }

                o[(((sample * tokens) + query) * c) + (head * d) + e] = (float)value;
            }
        }

        return o;

        float At(int sample, int token, int part, int head, int e) => qkv[(((sample * tokens) + token) * 3 * c) + (part * c) + (head * d) + e];
    }

    /// <summary>y = x * w + bias, 3x3, zeros around x; x [N, H, W, C], w [K, C, 3, 3] as in a checkpoint, y [N, H, W, K].</summary>
    public static float[] Convolution(float[] x, float[] w, float[] bias, int n, int height, int width, int c, int k)
    {
        float[] y = new float[n * height * width * k];
        for (int i = 0; i < y.Length; i++)
        {
            (int sample, int row, int column, int to) = (i / k / width / height, i / k / width % height, i / k % width, i % k);
            double sum = bias[to];
            for (int tap = 0; tap < 9; tap++)
            {
                (int from, int across) = (row + (tap / 3) - 1, column + (tap % 3) - 1);
                for (int channel = 0; channel < c && from >= 0 && from < height && across >= 0 && across < width; channel++)
                {
                    sum += (double)x[(((((sample * height) + from) * width) + across) * c) + channel] * w[(((to * c) + channel) * 9) + tap];
                }
            }

            y[i] = (float)sum;
        }

        return y;
    }
}
