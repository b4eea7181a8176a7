using System.Globalization;
using System.Text;

namespace AdmNative.Cuda;

/// <summary>A driver and its devices in words.</summary>
internal static class DeviceList
{
    /// <summary>One line for the driver, one for each device: name, architecture, size, and why it cannot be used if it cannot.</summary>
    /// <exception cref="CudaException">The driver refused.</exception>
    public static string Of(ICudaDriver driver)
    {
        driver.Check(driver.Init(), "cuInit");
        driver.Check(driver.DriverGetVersion(out int version), "cuDriverGetVersion");
        driver.Check(driver.DeviceGetCount(out int count), "cuDeviceGetCount");
        var text = new StringBuilder($"{driver.Description}, PTX {PtxVersion.OfDriver(version)} or older");
        foreach (string file in KernelBundle.Default.Overridden)
        {
            text.Append(CultureInfo.InvariantCulture, $"\nkernels from {file}");
        }

        for (int i = 0; i < count; i++)
        {
            int Ask(CudaDeviceAttribute attribute, int device)
            {
                driver.Check(driver.DeviceGetAttribute(out int value, attribute, device), $"cuDeviceGetAttribute({attribute})");
                return value;
            }

            driver.Check(driver.DeviceGet(out int device, i), "cuDeviceGet");
            driver.Check(driver.DeviceGetName(out string name, device), "cuDeviceGetName");
            driver.Check(driver.DeviceTotalMem(out ulong bytes, device), "cuDeviceTotalMem");
            int sm = (10 * Ask(CudaDeviceAttribute.ComputeCapabilityMajor, device)) + Ask(CudaDeviceAttribute.ComputeCapabilityMinor, device);
            text.Append(
                CultureInfo.InvariantCulture,
                $"\ncuda:{i} {name}, sm_{sm}, {Ask(CudaDeviceAttribute.MultiprocessorCount, device)} multiprocessors, {bytes / (double)(1 << 30):f1} GiB");
            try
            {
                KernelBundle.Default.For(sm, version);
            }
            catch (GpuUnavailableException e)
            {
                text.Append(CultureInfo.InvariantCulture, $": not usable: {e.Message}");
            }
        }

        return text.ToString();
    }
}
