/**
 * A WebGPU device as its caller sees it: launches are collected, and go to the device's thread as one submission when something is
 * read.
 */
import { arrayTypes, elementCount, type ArrayParam, type Kernel, type Sizes } from '../../ops/op.ts'
import {
  endDespiteThreads,
  shareBytes,
  startThread,
  type Thread,
  type ThreadCode,
} from '../../platform/platform.ts'
import { MissingError } from '../../tensor/errors.ts'
import type { AdapterLimits } from '../backend.ts'
import type { KernelArgument, KernelFunction } from '../calls.ts'
import { Device, type DeviceMemory as Piece } from '../device_backend.ts'
import { outputsOf } from '../launches.ts'
import { DeviceMemory, offsetOf } from './device_memory.ts'
import type { WgslKernel } from './exact_kernels.ts'
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
  type WindowOrder,
} from './gpu_protocol.ts'
import { GROUP, shaderText, uniformHead, type Place } from './shader.ts'

const deviceThread: ThreadCode = (Worker) =>
  new Worker(new URL('./gpu_thread.ts', import.meta.url), { type: 'module' })

/** Launches of a submission, at most. */
const MAX_LAUNCHES = 8192
/** Operations of a submission, about: a driver may end what takes seconds. */
const MAX_WORK = 2 ** 33
/** Bytes that may wait for a submission: uploads, and memory that was given back. */
const MAX_WAITING = 2 ** 26
/** Uploads up to this size go with the commands. */
const STAGED = 2 ** 16
/** A device that does nothing for so long hangs. */
const PATIENCE = 120_000 // ms

/** How a device is opened. */
export interface GpuOptions {
  /** The thread that talks to the device; tests have worse ones. */
  readonly thread?: ThreadCode
  /** The most bytes of a binding, if that is to be less than the adapter allows. */
  readonly windowBytes?: number
  /** Milliseconds after which a device that does nothing is given up. */
  readonly patience?: number
}

/** What a device has done so far. */
export interface DeviceCounts {
  /** Submissions to the queue. */
  submissions: number
  launches: number
  /** Calls whose launches were made; a recorded call has them made once. */
  prepared: number
  /** Times that something was read, and its bytes. */
  reads: number
  bytesRead: number
  /** Pipelines compiled. */
  pipelines: number
}

/** A device, and what is on its way to it. */
export class GpuDevice extends Device {
  readonly name: string
  readonly memory: DeviceMemory
  readonly counts: DeviceCounts = {
    submissions: 0,
    launches: 0,
    prepared: 0,
    reads: 0,
    bytesRead: 0,
    pipelines: 0,
  }
  /** What it is called in errors. */
  readonly #backend: string
  readonly #thread: Thread
  readonly #control: Int32Array<SharedArrayBuffer>
  readonly #windowBytes: number
  readonly limits: AdapterLimits
  readonly #patience: number
  readonly #pipelines = new Map<string, number>()
  readonly #groups = new Map<string, number>()
  /** By kernel and the windows of its arrays. */
  readonly #bindings = new Map<string, Binding>()
  #nextGroup = 0
  #batch = new OpenBatch(0)
  /** Pieces that were given back, which commands of this batch may use. */
  #left: Piece[] = []
  #scratch = { address: 0, words: 0 }
  #failure: MissingError | null = null
  /** The memory that was allocated last, if it holds zeros. */
  #zeros = NaN

  /** @throws MissingError GPU_MISSING if this runtime has no WebGPU, or no adapter; GPU_HUNG; THREADS_MISSING */
  static async open(backend: string, options: GpuOptions = {}): Promise<GpuDevice> {
    if (typeof SharedArrayBuffer !== 'function')
      throw new MissingError('THREADS_MISSING', `backend ${backend}: expected memory that threads can share`)
    const control = new SharedArrayBuffer(CONTROL_BYTES)
    const { patience = PATIENCE } = options
    let thread: Thread | null = null
    let watch: ReturnType<typeof setTimeout> | undefined
    try {
      const report = await new Promise<DeviceReport>((resolve, reject) => {
        const onLate = (): void => reject(giveUp(backend, 'a device', patience))
        watch = setTimeout(onLate, patience)
        const onError = (error: Error): void => resolve({ missing: error.message })
        thread = startThread(options.thread ?? deviceThread, {
          onMessage: (message) => resolve(message as DeviceReport),
          onError,
        })
        thread.send({ control, windowBytes: options.windowBytes ?? null } satisfies DeviceSetup)
      })
      if ('missing' in report)
        throw new MissingError(
          'GPU_MISSING',
          `backend ${backend}: expected a WebGPU adapter, got none: ${report.missing.replace(/\s+/g, ' ')}`,
        )
      return new GpuDevice(backend, thread as unknown as Thread, control, report, options)
    } catch (error) {
      leave(thread, error)
      throw error
    } finally {
      clearTimeout(watch)
    }
  }

  private constructor(
    backend: string,
    thread: Thread,
    control: SharedArrayBuffer,
    report: Exclude<DeviceReport, { missing: string }>,
    { patience = PATIENCE }: GpuOptions,
  ) {
    super()
    this.#backend = backend
    this.#thread = thread
    this.#control = new Int32Array(control)
    this.name = report.device
    this.#windowBytes = report.windowBytes
    this.limits = report.limits
    this.#patience = patience
    this.memory = new DeviceMemory(report.windowBytes, (windows) => this.#makeWindows(windows))
    thread.release()
  }

  protected end(): void {
    leave(this.#thread, this.#failure)
  }

  /** The function that launches a kernel. */
  kernelOf(definition: Kernel, kernel: WgslKernel, library: string): KernelFunction<number> {
    const { params, flops } = definition
    const arrays = params.flatMap((param, at) => (param.kind === 'array' ? [{ param, at }] : []))
    const numbers = params.flatMap(({ kind }, at) =>
      kind === 'array' ? [] : [{ at, isScalar: kind === 'scalar' }],
    )
    const letters = params.flatMap(({ kind, name: letter }, at) => (kind === 'size' ? [{ letter, at }] : []))
    const prepare = (args: readonly KernelArgument<number>[]): Launches => {
      this.#expectWorking()
      this.counts.prepared++
      const sizes: Record<string, number> = {}
      for (const { letter, at } of letters) sizes[letter] = args[at] as number
      const of = (letter: string): number => sizes[letter]
      const scratch = this.#scratchOf(kernel.scratch?.(of) ?? 0)
      const found = arrays.map(({ param, at }) => this.#find(param, args[at] as number | null, sizes))
      found.push(scratch)
      const { group, pipelines, places, windows } = this.#bindingOf(definition.name, found)
      const runs = kernel.runs?.(of) ?? [{ pass: 'main', count: outputsOf(definition, of) }]
      const list = runs.flatMap(({ pass, count, first = 0, many = 0 }): Launch[] => {
        if (count === 0) return []
        let pipeline = pipelines.get(pass)
        if (pipeline === undefined) {
          pipeline = this.#pipelineOf(definition, pass, kernel, places, windows, library)
          pipelines.set(pass, pipeline)
        }
        const ints = new Int32Array(uniformHead.length + numbers.length + found.length)
        const floats = new Float32Array(ints.buffer)
        ints.set([count, 0, first, many])
        let at = uniformHead.length
        for (const number of numbers) {
          const value = args[number.at] as number
          if (number.isScalar) floats[at++] = value
          else ints[at++] = value
        }
        for (const one of found) ints[at++] = one?.start ?? 0
        const groups = kernel.isGrouped ? count : Math.ceil(count / GROUP)
        return [{ pipeline, group, groups, uniforms: ints }]
      })
      return { list, work: flops(sizes as Sizes), scratch: scratch === null ? null : this.#scratch }
    }
    const launch: KernelFunction<number> = (...args) => this.#launch(prepare(args))
    return Object.assign(launch, {
      prepare: (...args: KernelArgument<number>[]) => {
        let made = prepare(args)
        return () => {
          if (made.scratch !== null && made.scratch !== this.#scratch) made = prepare(args)
          this.#launch(made)
        }
      },
    })
  }

  #launch({ list, work }: Launches): void {
    this.#expectWorking()
    for (const one of list) this.#batch.launch(one)
    this.counts.launches += list.length
    this.#batch.work += work
    if (this.#batch.launches >= MAX_LAUNCHES || this.#batch.work >= MAX_WORK) this.#submit(null)
  }

  allocate(bytes: number): number | null {
    this.#expectWorking()
    let found = this.memory.allocate(bytes)
    if (found === null && this.#left.length > 0) {
      this.#submit(null)
      found = this.memory.allocate(bytes)
    }
    if (found === null) return null
    this.#zeros = found.isZero ? found.address : NaN
    return found.address
  }

  giveBack(...memory: readonly Piece[]): void {
    this.#left.push(...memory)
    for (const { bytes } of memory) this.#batch.waiting += bytes
    if (this.#failure === null && this.#batch.waiting > MAX_WAITING) this.#submit(null)
  }

  further(address: number, bytes: number): number {
    return this.memory.further(address, bytes)
  }

  /** Sets bytes to 0, whole words. @param isNew whether nothing has used them since they were allocated */
  clear(address: number, bytes: number, isNew: boolean): void {
    if (isNew && address === this.#zeros) return
    this.#expectWorking()
    for (const { window, offset, bytes: length } of this.memory.parts(address, bytes))
      this.#batch.command(isNew, command.clear, window, offset, length, 0)
  }

  /** Copies bytes to the device, whole words. @param isNew as in `clear` */
  copyIn(address: number, bytes: Uint8Array, isNew: boolean): void {
    this.#expectWorking()
    let done = 0
    for (const { window, offset, bytes: length } of this.memory.parts(address, bytes.length)) {
      const values = new Uint8Array(length)
      values.set(bytes.subarray(done, done + length))
      done += length
      this.#batch.waiting += length
      if (isNew && length > STAGED) this.#batch.uploads.push({ window, offset, values: shareBytes(values) })
      else this.#batch.command(isNew, command.copy, window, offset, length, this.#batch.stage(values))
    }
    if (this.#batch.waiting > MAX_WAITING) this.#submit(null)
  }

  /** Bytes of the device, when everything before has been done. */
  copyOut(memory: readonly Piece[]): Uint8Array[] {
    const pieces = memory.map(({ address, bytes }) => this.memory.parts(address, bytes))
    const parts = pieces.flat()
    const into = new SharedArrayBuffer(parts.reduce((sum, { bytes }) => sum + bytes, 0))
    if (parts.length > 0) {
      this.#submit({ parts, into })
      this.#await()
      this.counts.reads++
    }
    let start = 0
    return memory.map(({ address, bytes }, i) => {
      this.counts.bytesRead += bytes
      const found = new Uint8Array(
        new Uint8Array(into, bytes === 0 ? 0 : start + (offsetOf(address) % 4), bytes),
      )
      for (const part of pieces[i]) start += part.bytes
      return found
    })
  }

  /** Throws what ended the device. @throws MissingError GPU_LOST, GPU_HUNG, GPU_FAILED, BACKEND_MEMORY */
  #expectWorking(): void {
    if (this.#failure !== null) throw this.#failure
  }

  /** The windows of an array, and where it starts in them, in its numbers. */
  #find(param: ArrayParam, address: number | null, sizes: Sizes): Found | null {
    if (address === null) return null
    const width = arrayTypes[param.dtype].BYTES_PER_ELEMENT
    const windows = this.memory.windowsOf(address, width * elementCount(param, sizes))
    return { windows, start: offsetOf(address) / width }
  }

  #scratchOf(words: number): Found | null {
    if (words === 0) return null
    if (words > this.#scratch.words) {
      const before = this.#scratch
      if (before.words > 0) this.giveBack({ address: before.address, bytes: 4 * before.words })
      const address = this.allocate(4 * words)
      if (address === null)
        throw new MissingError(
          'BACKEND_MEMORY',
          `backend ${this.#backend}: expected room for ${4 * words} more bytes`,
        )
      this.#scratch = { address, words }
    }
    const { address } = this.#scratch
    return { windows: this.memory.windowsOf(address, 4 * words), start: offsetOf(address) / 4 }
  }

  /** @throws MissingError GPU_LIMIT */
  #bindingOf(name: string, found: readonly (Found | null)[]): Binding {
    let key = name
    for (const one of found) key += one === null ? ' -' : ` ${one.windows[0]} ${one.windows[1]}`
    const known = this.#bindings.get(key)
    if (known !== undefined) return known
    const all = found.flatMap((one) => (one === null ? [] : range(one.windows[0], one.windows[1])))
    const windows = [...new Set(all)].sort((a, b) => a - b)
    if (windows.length > this.limits.bindings)
      throw new MissingError(
        'GPU_LIMIT',
        `${name}: expected a device with ${windows.length} bindings, got ${this.limits.bindings}`,
      )
    const places = found.map((one): Place =>
      one === null ? null : [windows.indexOf(one.windows[0]), windows.indexOf(one.windows[1])],
    )
    const made = { group: this.#groupOf(windows), pipelines: new Map(), places, windows: windows.length }
    this.#bindings.set(key, made)
    return made
  }

  #pipelineOf(
    definition: Kernel,
    pass: string,
    kernel: WgslKernel,
    places: readonly Place[],
    windows: number,
    library: string,
  ): number {
    const key = `${definition.name} ${pass} ${places.map((place) => (place === null ? '-' : place.join(' '))).join(',')}`
    let id = this.#pipelines.get(key)
    if (id === undefined) {
      id = this.#pipelines.size
      this.#pipelines.set(key, id)
      const text = shaderText(definition, kernel, pass, places, this.#windowBytes / 4, library)
      this.#batch.pipelines.push({ id, text, windows })
      this.counts.pipelines++
    }
    return id
  }

  #groupOf(windows: readonly number[]): number {
    const key = windows.join(' ')
    let id = this.#groups.get(key)
    if (id === undefined) {
      id = this.#nextGroup++
      this.#groups.set(key, id)
      this.#batch.groups.push({ id, windows })
    }
    return id
  }

  #makeWindows(windows: readonly WindowOrder[]): boolean {
    this.#batch.windows.push(...windows)
    this.#submit({ parts: [], into: new SharedArrayBuffer(0) })
    return this.#await(true)
  }

  /** Hands the thread what was collected. */
  #submit(answer: Batch['answer']): void {
    this.#expectWorking()
    const batch = this.#batch
    this.#batch = new OpenBatch(batch.launches)
    const left = this.#left
    this.#left = []
    const destroyed = left.flatMap(({ address }) => this.memory.free(address))
    if (destroyed.length > 0) this.#bindings.clear()
    for (const key of this.#groups.keys())
      if (destroyed.length > 0 && key.split(' ').some((id) => destroyed.includes(Number(id))))
        this.#groups.delete(key)
    if (answer !== null) Atomics.store(this.#control, word.answered, 0)
    if (batch.launches > 0 || (answer?.parts.length ?? 0) > 0) this.counts.submissions++
    this.#thread.send({ ...batch.closed(), destroyed, answer } satisfies Batch)
  }

  /** Waits for an answer. @returns false where memory is what was missing, and may be */
  #await(mayLackMemory = false): boolean {
    let before = Atomics.load(this.#control, word.progress)
    // The notice of an answer may come after the answer was seen, and wake up who waits for the next one.
    while (Atomics.load(this.#control, word.answered) === 0) {
      const progress = Atomics.load(this.#control, word.progress)
      if (Atomics.wait(this.#control, word.answered, 0, this.#patience) !== 'timed-out') continue
      if (progress === before)
        this.#end(giveUp(this.#backend, 'an answer', this.#patience, ` (${this.name})`))
      before = progress
    }
    const status = this.#control[word.status]
    if (status === statuses.done) return true
    if (status === statuses.memory && mayLackMemory) return false
    const text = new TextDecoder().decode(
      new Uint8Array(new Uint8Array(this.#control.buffer, TEXT_START, this.#control[word.textBytes])),
    )
    const words = text.replace(/\s+/g, ' ').trim()
    if (status === statuses.memory) return this.#fail('BACKEND_MEMORY', `expected room, got none: ${words}`)
    if (status === statuses.lost)
      return this.#fail('GPU_LOST', `expected a working device, got a lost one: ${words}`)
    return this.#fail('GPU_FAILED', `expected a working device, got an error: ${words}`)
  }

  #fail(code: string, message: string): never {
    return this.#end(new MissingError(code, `backend ${this.#backend}: ${message} (${this.name})`))
  }

  #end(failure: MissingError): never {
    throw (this.#failure = failure)
  }
}

/** The error of a device that hangs. No driver ends what it does, so the program is not to wait for its thread. */
function giveUp(backend: string, what: string, patience: number, where = ''): MissingError {
  endDespiteThreads()
  return new MissingError(
    'GPU_HUNG',
    `backend ${backend}: expected ${what} within ${patience} ms, got none${where}`,
  )
}

/** Ends the thread of a device; that of one that hangs ends when it answers, if it ever does. */
function leave(thread: Thread | null, failure: unknown): void {
  const hangs = failure instanceof MissingError && failure.code === 'GPU_HUNG'
  if (hangs) thread?.abandon()
  else void thread?.end()
}

/** Where an array stands. */
interface Found {
  readonly windows: readonly [first: number, last: number]
  readonly start: number
}

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i)

/** What is bound for a kernel whose arrays stand in some windows. */
interface Binding {
  readonly group: number
  /** Of each pass that was launched. */
  readonly pipelines: Map<string, number>
  readonly places: readonly Place[]
  /** How many windows are bound. */
  readonly windows: number
}

/** A launch, and its uniforms without the zeros after them. */
interface Launch {
  readonly pipeline: number
  readonly group: number
  readonly groups: number
  readonly uniforms: Int32Array
}

/** The launches of a call, which stay the same while their scratch, if they have any, is that of the device. */
interface Launches {
  readonly list: readonly Launch[]
  readonly work: number
  readonly scratch: object | null
}

/** A list of a batch that grows. */
type Mutable<List extends 'pipelines' | 'groups' | 'windows' | 'uploads'> = Batch[List][number][]

const UNIFORM_WORDS = UNIFORM_BYTES / 4

/** Room for the uniforms of so many launches. */
const uniformsOf = (launches: number): Int32Array<SharedArrayBuffer> =>
  new Int32Array(new SharedArrayBuffer(UNIFORM_BYTES * launches))

/** What has been collected for a submission. */
class OpenBatch {
  readonly pipelines: Mutable<'pipelines'> = []
  readonly groups: Mutable<'groups'> = []
  readonly windows: Mutable<'windows'> = []
  readonly uploads: Mutable<'uploads'> = []
  /** Commands on new memory, which nothing before them uses: they come first, so that launches follow each other. */
  readonly #early: number[] = []
  readonly #commands: number[] = []
  readonly #staged: Uint8Array[] = []
  #stagedBytes = 0
  #uniforms: Int32Array<SharedArrayBuffer>
  launches = 0
  work = 0
  waiting = 0

  /** @param launches how many it may have, more or less */
  constructor(launches: number) {
    this.#uniforms = uniformsOf(Math.max(16, launches))
  }

  /** @param isNew whether nothing of this batch has used that memory */
  command(
    isNew: boolean,
    ...command: [kind: number, window: number, offset: number, bytes: number, from: number]
  ): void {
    ;(isNew ? this.#early : this.#commands).push(...command)
  }

  /** Keeps bytes for a copy. @returns where they will stand */
  stage(values: Uint8Array): number {
    const start = this.#stagedBytes
    this.#staged.push(values)
    this.#stagedBytes += values.length
    return start
  }

  launch({ pipeline, group, groups, uniforms }: Launch): void {
    this.#commands.push(command.launch, pipeline, group, groups, 0)
    const start = UNIFORM_WORDS * this.launches++
    if (start === this.#uniforms.length) {
      const before = this.#uniforms
      this.#uniforms = uniformsOf(2 * this.launches)
      this.#uniforms.set(before)
    }
    this.#uniforms.set(uniforms, start)
  }

  closed(): Omit<Batch, 'answer' | 'destroyed'> {
    const { pipelines, groups, windows, uploads } = this
    const commands = new SharedArrayBuffer(8 * (this.#early.length + this.#commands.length))
    const numbers = new Float64Array(commands)
    numbers.set(this.#early)
    numbers.set(this.#commands, this.#early.length)
    const staged = new Uint8Array(new SharedArrayBuffer(this.#stagedBytes))
    let at = 0
    for (const values of this.#staged) {
      staged.set(values, at)
      at += values.length
    }
    const uniforms = new Uint8Array(this.#uniforms.buffer, 0, UNIFORM_BYTES * this.launches)
    return { pipelines, groups, windows, uploads, staged, uniforms, commands }
  }
}
