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
        void Ok(CudaStatus status, string call)
        {
            if (status != CudaStatus.Success)
            {
                throw new CudaException(status, call, CudaException.Explain(driver, status));
            }
        }

        Ok(driver.Init(), "cuInit");
        Ok(driver.DriverGetVersion(out int version), "cuDriverGetVersion");
        Ok(driver.DeviceGetCount(out int count), "cuDeviceGetCount");
        var text = new StringBuilder($"{driver.Description}, PTX {PtxVersion.OfDriver(version)} or older");
        foreach (string file in KernelBundle.Default.Overridden)
        {
            text.Append(CultureInfo.InvariantCulture, $"\nkernels from {file}");
        }

        for (int i = 0; i < count; i++)
        {
            int Ask(CudaDeviceAttribute attribute, int device)
            {
                Ok(driver.DeviceGetAttribute(out int value, attribute, device), $"cuDeviceGetAttribute({attribute})");
                return value;
            }

            Ok(driver.DeviceGet(out int device, i), "cuDeviceGet");
            Ok(driver.DeviceGetName(out string name, device), "cuDeviceGetName");
            Ok(driver.DeviceTotalMem(out ulong bytes, device), "cuDeviceTotalMem");
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
