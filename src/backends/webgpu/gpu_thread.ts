/**
 * The thread of a device: does what batches say, in order.
 */
import { awaitGpu, findGpu } from '../../platform/gpu.ts'
import { listenAsThread } from '../../platform/platform.ts'
import {
  command,
  CONTROL_BYTES,
  statuses,
  TEXT_START,
  UNIFORM_BYTES,
  word,
  type Batch,
  type DeviceReport,
  type DeviceSetup,
  type Part,
} from './gpu_protocol.ts'
import { GRID_WIDTH } from './shader.ts'

/** Constants of WebGPU, which not every runtime has by name. */
const usage = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 } as const
const READ = 1
const COMPUTE = 4

/** Where a batch stops. */
class Stop extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

class DeviceThread {
  readonly #device: GPUDevice
  readonly #control: Int32Array
  readonly #text: Uint8Array
  readonly #pipelines = new Map<number, GPUComputePipeline>()
  readonly #layouts = new Map<
    number,
    { readonly group: GPUBindGroupLayout; readonly pipeline: GPUPipelineLayout }
  >()
  readonly #groups = new Map<number, GPUBindGroup>()
  readonly #windows = new Map<number, GPUBuffer>()
  /** What groups are remade from when the uniforms move. */
  readonly #windowsOf = new Map<number, readonly number[]>()
  #uniforms: GPUBuffer | null = null
  #staging: GPUBuffer | null = null
  #reading: GPUBuffer | null = null
  /** The first thing that went wrong; nothing is done after it. */
  #failure: Stop | null = null

  constructor(device: GPUDevice, control: SharedArrayBuffer) {
    this.#device = device
    this.#control = new Int32Array(control)
    this.#text = new Uint8Array(control, TEXT_START)
    device.onuncapturederror = ({ error }) => {
      const isMemory = 'GPUOutOfMemoryError' in globalThis && error instanceof GPUOutOfMemoryError
      this.#failure ??= new Stop(isMemory ? statuses.memory : statuses.failed, error.message)
    }
    void device.lost.then(({ message }) => (this.#failure ??= new Stop(statuses.lost, message)))
  }

  async run(batch: Batch): Promise<void> {
    try {
      if (this.#failure !== null) throw this.#failure
      await this.#do(batch)
    } catch (error) {
      const stop = this.#failure ?? (error instanceof Stop ? error : new Stop(statuses.failed, String(error)))
      // Memory that is not there is the caller's to bear; anything else ends the device.
      if (stop.status !== statuses.memory) this.#failure ??= stop
      if (batch.answer !== null) this.#answer(stop.status, stop.message)
      return
    }
    if (batch.answer !== null) this.#answer(statuses.done, '')
  }

  destroy(): void {
    this.#device.destroy()
  }

  #answer(status: number, message: string): void {
    const bytes = new TextEncoder().encode(message).subarray(0, CONTROL_BYTES - TEXT_START)
    this.#text.set(bytes)
    this.#control[word.textBytes] = bytes.length
    this.#control[word.status] = status
    Atomics.store(this.#control, word.answered, 1)
    Atomics.notify(this.#control, word.answered)
  }

  async #do(batch: Batch): Promise<void> {
    for (const { id, bytes } of batch.windows) {
      this.#device.pushErrorScope('out-of-memory')
      this.#windows.set(id, this.#buffer(bytes, usage.STORAGE | usage.COPY_SRC | usage.COPY_DST))
      const error = await this.#device.popErrorScope()
      if (error !== null) {
        this.#windows.delete(id)
        throw new Stop(statuses.memory, error.message)
      }
    }
    await Promise.all(
      batch.pipelines.map(async ({ id, text, windows }) => {
        const module = this.#device.createShaderModule({ code: text })
        const { pipeline: layout } = this.#layoutOf(windows)
        const pipeline = await this.#device.createComputePipelineAsync({
          layout,
          compute: { module, entryPoint: 'main' },
        })
        this.#pipelines.set(id, pipeline)
      }),
    )
    this.#reserveUniforms(Math.max(UNIFORM_BYTES, batch.uniforms.length))
    for (const { id, windows } of batch.groups) {
      this.#windowsOf.set(id, windows)
      this.#makeGroup(id)
    }
    const { queue } = this.#device
    for (const { window, offset, values } of batch.uploads)
      queue.writeBuffer(this.#window(window), offset, unshared(values))
    if (batch.uniforms.length > 0) queue.writeBuffer(this.#uniforms as GPUBuffer, 0, unshared(batch.uniforms))
    this.#staging = this.#reserve(this.#staging, batch.staged.length, usage.COPY_SRC | usage.COPY_DST)
    if (batch.staged.length > 0) queue.writeBuffer(this.#staging as GPUBuffer, 0, unshared(batch.staged))
    const parts = batch.answer?.parts ?? []
    const size = parts.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#reading = this.#reserve(this.#reading, size, usage.MAP_READ | usage.COPY_DST)
    const commands = new Float64Array(batch.commands)
    if (commands.length > 0 || size > 0) queue.submit([this.#record(commands, parts)])
    for (const id of batch.destroyed) {
      this.#window(id).destroy()
      this.#windows.delete(id)
      for (const [group, windows] of this.#windowsOf) {
        if (!windows.includes(id)) continue
        this.#windowsOf.delete(group)
        this.#groups.delete(group)
      }
    }
    void queue.onSubmittedWorkDone().then(() => Atomics.add(this.#control, word.progress, 1))
    if (batch.answer === null) return
    if (size > 0) {
      const reading = this.#reading as GPUBuffer
      await awaitGpu(reading.mapAsync(READ, 0, size))
      new Uint8Array(batch.answer.into).set(new Uint8Array(reading.getMappedRange(0, size)))
      reading.unmap()
    }
    if (this.#failure !== null) throw this.#failure
  }

  #record(commands: Float64Array, parts: readonly Part[]): GPUCommandBuffer {
    const encoder = this.#device.createCommandEncoder()
    let pass: GPUComputePassEncoder | null = null
    let launches = 0
    for (let i = 0; i < commands.length; i += command.size) {
      const [kind, a, b, c, from] = commands.subarray(i, i + command.size)
      if (kind === command.launch) {
        pass ??= encoder.beginComputePass()
        pass.setPipeline(this.#pipelines.get(a) as GPUComputePipeline)
        pass.setBindGroup(0, this.#groups.get(b) as GPUBindGroup, [UNIFORM_BYTES * launches++])
        pass.dispatchWorkgroups(Math.min(c, GRID_WIDTH), Math.ceil(c / GRID_WIDTH))
        continue
      }
      pass?.end()
      pass = null
      if (kind === command.clear) encoder.clearBuffer(this.#window(a), b, c)
      else if (kind === command.copy)
        encoder.copyBufferToBuffer(this.#staging as GPUBuffer, from, this.#window(a), b, c)
    }
    pass?.end()
    let at = 0
    for (const { window, offset, bytes } of parts) {
      encoder.copyBufferToBuffer(this.#window(window), offset, this.#reading as GPUBuffer, at, bytes)
      at += bytes
    }
    return encoder.finish()
  }

  #window(id: number): GPUBuffer {
    return this.#windows.get(id) as GPUBuffer
  }

  #buffer(size: number, of: number): GPUBuffer {
    return this.#device.createBuffer({ size, usage: of })
  }

  /** A buffer of at least this size; a smaller one is replaced. */
  #reserve(buffer: GPUBuffer | null, bytes: number, of: number): GPUBuffer | null {
    if ((buffer?.size ?? 0) >= bytes) return buffer
    buffer?.destroy()
    return this.#buffer(Math.ceil(bytes / 4096) * 4096, of)
  }

  #reserveUniforms(bytes: number): void {
    const before = this.#uniforms
    this.#uniforms = this.#reserve(before, bytes, usage.UNIFORM | usage.COPY_DST)
    if (this.#uniforms !== before) for (const id of this.#windowsOf.keys()) this.#makeGroup(id)
  }

  #makeGroup(id: number): void {
    const windows = this.#windowsOf.get(id) as readonly number[]
    const buffers = windows.map((window, i) => ({
      binding: i + 1,
      resource: { buffer: this.#window(window) },
    }))
    const uniforms = { binding: 0, resource: { buffer: this.#uniforms as GPUBuffer, size: UNIFORM_BYTES } }
    const layout = this.#layoutOf(windows.length).group
    this.#groups.set(id, this.#device.createBindGroup({ layout, entries: [uniforms, ...buffers] }))
  }

  #layoutOf(windows: number): { readonly group: GPUBindGroupLayout; readonly pipeline: GPUPipelineLayout } {
    let layout = this.#layouts.get(windows)
    if (layout === undefined) {
      const uniforms = {
        binding: 0,
        visibility: COMPUTE,
        buffer: { type: 'uniform', hasDynamicOffset: true },
      } as const
      const memory = Array.from(
        { length: windows },
        (_, i) => ({ binding: i + 1, visibility: COMPUTE, buffer: { type: 'storage' } }) as const,
      )
      const group = this.#device.createBindGroupLayout({ entries: [uniforms, ...memory] })
      layout = { group, pipeline: this.#device.createPipelineLayout({ bindGroupLayouts: [group] }) }
      this.#layouts.set(windows, layout)
    }
    return layout
  }
}

/** Bytes that WebGPU takes: not of shared memory. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes)
}

/** Opens the adapter that the runtime prefers. @throws Error in one line if there is none */
async function open({ control, windowBytes }: DeviceSetup): Promise<[DeviceThread, DeviceReport]> {
  const gpu = await findGpu()
  if (gpu === null) throw new Error('this runtime has no WebGPU')
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter === null) throw new Error('WebGPU found no adapter')
  const { limits, info } = adapter
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, 2 ** 31 - 2 ** 20)
  const bindings = Math.min(limits.maxStorageBuffersPerShaderStage, 16)
  const device = await adapter.requestDevice({
    requiredLimits: {
      maxStorageBufferBindingSize: most,
      maxBufferSize: most,
      maxStorageBuffersPerShaderStage: bindings,
    },
  })
  const words = [info.vendor, info.architecture, info.device, info.description].filter((word) => word !== '')
  const report = {
    device: [...new Set(words)].join(', '),
    windowBytes: Math.floor(Math.min(most, windowBytes ?? most) / 256) * 256,
    limits: {
      bindingBytes: most,
      bindings,
      f16: adapter.features.has('shader-f16'),
      subgroups: adapter.features.has('subgroups'),
    },
  }
  return [new DeviceThread(device, control), report]
}

let thread: DeviceThread | null = null
/** Messages wait for those before them. */
let last: Promise<void> = Promise.resolve()

/** Opens the device, then does what batches say. */
async function take(message: unknown, before: Promise<void>): Promise<void> {
  await before
  if (thread !== null) return thread.run(message as Batch)
  try {
    const [opened, report] = await open(message as DeviceSetup)
    thread = opened
    send?.(report)
  } catch (error) {
    send?.({ missing: (error as Error).message } satisfies DeviceReport)
  }
}

const send = listenAsThread(
  (message) => (last = take(message, last)),
  () => void last.then(() => thread?.destroy()),
)
