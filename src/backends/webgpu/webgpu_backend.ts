/**
 * The WebGPU backends: every op as WGSL, on any GPU that the runtime finds, and on the processor through Mesa's llvmpipe. `webgpu` has
 * the exact kernels, `webgpu-fast` those of fast_kernels.ts where there is one.
 *
 * A buffer is an address of device memory. Calls are collected in order and submitted together when something is read. After a
 * failure every call throws the same error, because the content of buffers is unknown.
 */
import { kernels, type KernelName } from '../../ops/catalog.ts'
import { arrayTypes, type Dtype, type Numbers } from '../../ops/op.ts'
import { MissingError } from '../../tensor/errors.ts'
import type { Backend, BackendOptions } from '../backend.ts'
import { CheckedBackend, checkOneThread } from '../checked_backend.ts'
import type { OwnedBuffer } from '../owned_buffer.ts'
import { whyNotExact } from './battery.ts'
import { exactKernels, type WgslKernel } from './exact_kernels.ts'
import { fastKernels } from './fast_kernels.ts'
import { float32Wgsl } from './float32_wgsl.ts'
import { GpuDevice, type DeviceCounts, type GpuOptions } from './gpu_device.ts'

/** The names of the backends of this file: the set of kernels. */
export type WebGpuName = 'webgpu' | 'webgpu-fast'

/** The kernels of a backend, and the functions they call. */
export interface KernelTexts {
  readonly kernels: Readonly<Record<KernelName, WgslKernel>>
  readonly library: string
}

const texts: Readonly<Record<WebGpuName, KernelTexts>> = {
  webgpu: { kernels: exactKernels, library: float32Wgsl },
  'webgpu-fast': { kernels: { ...exactKernels, ...fastKernels }, library: float32Wgsl },
}

/** Why adapters that were tried in this process do not keep the float contract; null for one that does. */
const verdicts = new Map<string, string | null>()

/** Runs every op as its WGSL kernel. */
export class WebGpuBackend extends CheckedBackend<number> {
  readonly name: WebGpuName
  /** Why this is `webgpu-fast` although `webgpu` was asked for; null otherwise. */
  readonly notExact: string | null
  readonly #device: GpuDevice
  readonly #texts: KernelTexts

  /**
   * Starts a backend on the adapter that the runtime prefers. One that does not keep the float contract has the fast set, under its
   * name, whichever is asked for.
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
    if (name === 'webgpu-fast' || own !== undefined) return new WebGpuBackend(device, name, null, own)
    let why = verdicts.get(device.name)
    if (why === undefined) {
      why = whyNotExact(device)
      verdicts.set(device.name, why)
    }
    return new WebGpuBackend(device, why === null ? name : 'webgpu-fast', why)
  }

  private constructor(device: GpuDevice, name: WebGpuName, notExact: string | null, own = texts[name]) {
    super((op) => device.kernelOf(kernels[op], own.kernels[op], own.library))
    this.name = name
    this.notExact = notExact
    this.#device = device
    this.#texts = own
    device.retain()
  }

  get device(): string {
    return this.#device.name
  }

  /** What the device has done so far, for all backends on it. */
  get counts(): Readonly<DeviceCounts> {
    return this.#device.counts
  }

  /** Bytes of device memory that are held, by all backends on it. */
  get heldBytes(): number {
    return this.#device.memory.held
  }

  sibling(): Backend {
    this.expectLive()
    return new WebGpuBackend(this.#device, this.name, this.notExact, this.#texts)
  }

  protected reserve(dtype: Dtype, length: number): number {
    const bytes = bytesOf(dtype, length)
    const found = this.#device.allocate(bytes)
    if (found === null)
      throw new MissingError(
        'BACKEND_MEMORY',
        `backend ${this.name}: expected room for ${bytes} more bytes, got too little on ${this.#device.name}`,
      )
    this.#isZero = found.isZero
    return found.address
  }

  /** Whether the memory that was reserved last holds zeros. */
  #isZero = false

  protected release({ dtype, length, address }: OwnedBuffer<number>): void {
    this.#device.giveBack(address, bytesOf(dtype, length))
  }

  protected addressIn({ dtype, address }: OwnedBuffer<number>, start: number): number {
    return this.#device.memory.further(address, bytesOf(dtype, start))
  }

  protected clear(buffer: OwnedBuffer<number>, isNew: boolean): void {
    if (isNew && this.#isZero) return
    const bytes = bytesOf(buffer.dtype, buffer.length)
    if (isNew || isWhole(buffer, 0, bytes)) this.#device.clear(buffer.address, bytes, isNew)
    else this.copyIn(buffer, new arrayTypes[buffer.dtype](buffer.length), 0, false)
  }

  protected copyIn(buffer: OwnedBuffer<number>, values: Numbers, start: number, isNew: boolean): void {
    const { dtype, address } = buffer
    const from = this.#device.memory.further(address, bytesOf(dtype, start))
    let bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    if (bytes.length === 0) return
    if (isNew || isWhole(buffer, bytesOf(dtype, start), bytes.length))
      return this.#device.copyIn(from, bytes, isNew)
    // Numbers that share a word with others: the whole words are read, changed and written.
    const lead = from % 4
    const words = Math.ceil((lead + bytes.length) / 4) * 4
    const [around] = this.#device.copyOut({ address: from - lead, bytes: words })
    around.set(bytes, lead)
    bytes = around
    this.#device.copyIn(from - lead, bytes, false)
  }

  protected copyOut(buffer: OwnedBuffer<number>): Numbers {
    return this.copyAllOut([buffer])[0]
  }

  protected override copyAllOut(buffers: readonly OwnedBuffer<number>[]): Numbers[] {
    const ranges = buffers.map(({ dtype, length, address }) => ({ address, bytes: bytesOf(dtype, length) }))
    return this.#device
      .copyOut(...ranges)
      .map((bytes, i) => new arrayTypes[buffers[i].dtype](bytes.buffer, 0, buffers[i].length))
  }

  protected shutDown(buffers: readonly OwnedBuffer<number>[]): void {
    try {
      for (const buffer of buffers) this.release(buffer)
    } finally {
      this.#device.release()
    }
  }
}

function bytesOf(dtype: Dtype, length: number): number {
  return arrayTypes[dtype].BYTES_PER_ELEMENT * length
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
