/**
 * The WebGPU backends: every op as WGSL, on any GPU that the runtime finds, and on the processor through Mesa's llvmpipe. `webgpu` has
 * the exact kernels, `webgpu-fast` those of fast_kernels.ts where there is one. Calls are submitted together when something is read.
 */
import { kernels, type KernelName } from '../../ops/catalog.ts'
import { arrayTypes, type Numbers } from '../../ops/op.ts'
import type { AdapterLimits, Backend, BackendOptions } from '../backend.ts'
import { checkOneThread } from '../checked_backend.ts'
import { bytesOf, DeviceBackend, memoryOf } from '../device_backend.ts'
import type { OwnedBuffer } from '../owned_buffer.ts'
import { whyNotExact } from './battery.ts'
import { exactKernels, type WgslKernel } from './exact_kernels.ts'
import { fastKernels } from './fast_kernels.ts'
import { float32Wgsl, flushedFloat32Wgsl } from './float32_wgsl.ts'
import { GpuDevice, type DeviceCounts, type GpuOptions } from './gpu_device.ts'

/** The names of the backends of this file: the set of kernels. */
export type WebGpuName = 'webgpu' | 'webgpu-fast'

/** The kernels of a backend, and the functions they call. */
export interface KernelTexts {
  readonly kernels: Readonly<Record<KernelName, WgslKernel>>
  readonly library: string
}

const kernelsOf: Readonly<Record<WebGpuName, KernelTexts['kernels']>> = {
  webgpu: exactKernels,
  'webgpu-fast': { ...exactKernels, ...fastKernels },
}

/** What an adapter is given, and why its kernels do not keep the float contract; null if they do. */
interface Verdict {
  readonly library: string
  readonly notExact: string | null
}

/** Of the adapters that were tried in this process. */
const verdicts = new Map<string, Verdict>()

/** Tries an adapter: if it does not keep the float contract, without its subnormal numbers. */
function judge(device: GpuDevice): Verdict {
  let verdict = verdicts.get(device.name)
  if (verdict === undefined) {
    verdict = { library: float32Wgsl, notExact: whyNotExact(device, float32Wgsl) }
    if (verdict.notExact !== null && whyNotExact(device, flushedFloat32Wgsl) === null)
      verdict = { library: flushedFloat32Wgsl, notExact: null }
    verdicts.set(device.name, verdict)
  }
  return verdict
}

/** Runs every op as its WGSL kernel. */
export class WebGpuBackend extends DeviceBackend<GpuDevice> {
  readonly name: WebGpuName
  /** Why this is `webgpu-fast` although `webgpu` was asked for; null otherwise. */
  readonly notExact: string | null
  readonly #texts: KernelTexts

  /**
   * Starts a backend on the adapter that the runtime prefers. One that does not keep the float contract has the fast set, under its
   * name, whichever is asked for. One whose only fault is to take subnormal numbers for 0 keeps it: those are computed in whole numbers.
   * @param own other kernels than those of the set, which are not tried first
   * @throws MissingError GPU_MISSING, THREADS_MISSING for what is not here; UsageError THREADS
   */
  static async create(
    name: WebGpuName = 'webgpu',
    options: BackendOptions & GpuOptions = {},
    own?: KernelTexts,
  ): Promise<WebGpuBackend> {
    checkOneThread(name, options)
    const device = await GpuDevice.open(name, options)
    if (own !== undefined) return new WebGpuBackend(device, name, null, own)
    const { library, notExact } = judge(device)
    const held = notExact === null ? name : 'webgpu-fast'
    return new WebGpuBackend(device, held, name === held ? null : notExact, {
      kernels: kernelsOf[held],
      library,
    })
  }

  private constructor(device: GpuDevice, name: WebGpuName, notExact: string | null, texts: KernelTexts) {
    super(device, (op) => device.kernelOf(kernels[op], texts.kernels[op], texts.library))
    this.name = name
    this.notExact = notExact
    this.#texts = texts
  }

  get limits(): AdapterLimits {
    return this.on.limits
  }

  /** What the device has done so far, for all backends on it. */
  get counts(): Readonly<DeviceCounts> {
    return this.on.counts
  }

  /** Bytes of device memory that are held, by all backends on it. */
  get heldBytes(): number {
    return this.on.memory.held
  }

  sibling(): Backend {
    this.expectLive()
    return new WebGpuBackend(this.on, this.name, this.notExact, this.#texts)
  }

  protected override clear(buffer: OwnedBuffer<number>, isNew: boolean): void {
    if (isNew || isWhole(buffer, 0, memoryOf(buffer).bytes)) super.clear(buffer, isNew)
    else this.copyIn(buffer, new arrayTypes[buffer.dtype](buffer.length), 0, false)
  }

  protected copyIn(buffer: OwnedBuffer<number>, values: Numbers, start: number, isNew: boolean): void {
    const from = this.addressIn(buffer, start)
    let bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    if (bytes.length === 0) return
    if (isNew || isWhole(buffer, bytesOf(buffer.dtype, start), bytes.length))
      return this.on.copyIn(from, bytes, isNew)
    // Numbers that share a word with others: the whole words are read, changed and written.
    const lead = from % 4
    const [around] = this.on.copyOut([
      { address: from - lead, bytes: Math.ceil((lead + bytes.length) / 4) * 4 },
    ])
    around.set(bytes, lead)
    bytes = around
    this.on.copyIn(from - lead, bytes, false)
  }

  protected copyOut(buffer: OwnedBuffer<number>): Numbers {
    return this.copyOutAll([buffer])[0]
  }

  protected override copyOutAll(buffers: readonly OwnedBuffer<number>[]): Numbers[] {
    const found = this.on.copyOut(buffers.map(memoryOf))
    return buffers.map(
      ({ dtype, length }, i) => new arrayTypes[dtype](found[i].buffer as ArrayBuffer, 0, length),
    )
  }
}

/** Whether bytes of a buffer are whole words: after the end of a buffer that is no view there is room for the rest of one. */
function isWhole(
  { address, dtype, length, parent }: OwnedBuffer<number>,
  start: number,
  bytes: number,
): boolean {
  const isToEnd = parent === null && start + bytes === bytesOf(dtype, length)
  return (address + start) % 4 === 0 && (bytes % 4 === 0 || isToEnd)
}
