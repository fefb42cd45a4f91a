/**
 * The thread of a device that breaks: after some submissions it is lost or never answers, large buffers find no memory, or it is
 * never found. It is
 * gpu_thread.ts on an adapter whose methods are replaced.
 */
import { findGpu } from '../../../src/platform/gpu.ts'

/** What goes wrong. */
type Fault = 'lost' | 'hung' | 'memory' | 'silent'

/** Runs the thread on a device that breaks. @param count submissions before that; bytes that a buffer may have */
export async function runFaulty(fault: Fault, count: number): Promise<void> {
  const gpu = (await findGpu()) as GPU
  const requestAdapter = gpu.requestAdapter.bind(gpu)
  gpu.requestAdapter = async (...given) => {
    if (fault === 'silent') return new Promise(() => {})
    const adapter = await requestAdapter(...given)
    if (adapter === null) return null
    const requestDevice = adapter.requestDevice.bind(adapter)
    adapter.requestDevice = async (...of) => breakDevice(await requestDevice(...of), fault, count)
    return adapter
  }
  await import('../../../src/backends/webgpu/gpu_thread.ts')
}

function breakDevice(device: GPUDevice, fault: Fault, count: number): GPUDevice {
  const { queue } = device
  const submit = queue.submit.bind(queue)
  let left = count
  let wanted = 0
  if (fault === 'memory') {
    const [create, pop] = [device.createBuffer.bind(device), device.popErrorScope.bind(device)]
    device.createBuffer = (of) => create({ ...of, size: Math.min((wanted = of.size), 2 ** 20) })
    device.popErrorScope = async () =>
      (await pop()) ?? (wanted > count ? ({ message: 'no room' } as GPUError) : null)
    return device
  }
  queue.submit = (buffers) => {
    if (left-- > 0) return submit(buffers)
    if (fault === 'lost') device.destroy()
    return submit(buffers)
  }
  if (fault === 'hung') {
    const create = device.createBuffer.bind(device)
    device.createBuffer = (of) => {
      const buffer = create(of)
      const map = buffer.mapAsync.bind(buffer)
      buffer.mapAsync = (...given) => (left < 0 ? new Promise(() => {}) : map(...given))
      return buffer
    }
  }
  return device
}
