/**
 * What loading a checkpoint takes: the peak resident memory of a fresh process, over the bytes of the weights it then holds
 * and over the file, and bytes of the file per second beside those of `cat FILE > /dev/null`, and of reading the file into the
 * memory of a WebAssembly module and nothing else, which is the least that a load can do.
 *
 *   node scripts/node.mjs bench/load.ts --file model.gguf [--storage f32] ...     a model that is there, opened with its tokenizer
 *   node scripts/node.mjs bench/load.ts [--shape opt-1.3b] [--layers N] [--dtype F16] [--storage f16] [--format safetensors|bin|both]
 *                                       [--backend wasm] [--rounds 5] [--folder DIR] [--cold]
 *
 * Weights are noise, written once by another process: into DIR, where they stay and are taken up again, else into the
 * system's temporary folder. Everything is read from the system's cache, after one untimed round; with `--cold` from the
 * disk, because the system is told before each job to forget the file. In each round every job has its turn, each in a
 * process of its own; a load is timed from opening the file to the last weight in its place, without the start of Node and
 * of the backend. Linux only: the peak is VmHWM, and dd is that of coreutils.
 */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import type { BackendName } from '../src/backends/backend.ts'
import { createBackend } from '../src/backends/select.ts'
import { shapeSubject, type BenchSubject } from '../src/bench/subject.ts'
import { median, turnOrder } from '../src/results/interleaved_rounds.ts'
import { openModelFolder, openWeights } from '../src/io/load.ts'
import { streamSafetensors } from '../src/io/safetensors_writer.ts'
import { parseConfig, type ModelConfig } from '../src/engine/config.ts'
import type { Storage } from '../src/engine/storages/index.ts'
import { loadWeights } from '../src/engine/weights.ts'
import { commandArguments, machine, now, pathOfUrl, runtime, write } from '../src/platform/platform.ts'
import { narrowToBf16, narrowToF16 } from '../src/tensor/halves.ts'
import type { TensorSource } from '../src/tensor/tensor_source.ts'
import { table } from './timing.ts'
import { writeTorch, type TorchForm } from './torch_writer.ts'

const fileNames = { safetensors: 'model.safetensors', bin: 'pytorch_model.bin' } as const
type Format = keyof typeof fileNames

/** How a float32 number is stored. */
const narrowings = {
  F32: (values: Float32Array): ArrayBufferView => values,
  F16: narrowToF16,
  BF16: narrowToBf16,
} as const
type Dtype = keyof typeof narrowings

/** What a load says of itself. */
interface Load {
  readonly seconds: number
  /** Bytes: most that was resident, and what the weights take. */
  readonly peak: number
  readonly held: number
  /** What was resident before it, and with the file open and its tokenizer made. */
  readonly before?: number
  readonly opened?: number
}

const { values: flags } = parseArgs({
  args: commandArguments(),
  options: {
    shape: { type: 'string', default: 'opt-1.3b' },
    layers: { type: 'string' },
    dtype: { type: 'string', default: 'F16' },
    storage: { type: 'string', default: 'f16' },
    format: { type: 'string', default: 'both' },
    backend: { type: 'string', default: 'wasm' },
    rounds: { type: 'string', default: '5' },
    folder: { type: 'string' },
    file: { type: 'string' },
    cold: { type: 'boolean', default: false },
    /** What the processes that this one starts do, and with which file. */
    write: { type: 'string' },
    load: { type: 'string' },
    place: { type: 'string' },
  },
})

function subject(): BenchSubject {
  return shapeSubject(flags.shape, {
    seed: 1,
    layers: flags.layers === undefined ? undefined : Number(flags.layers),
  })
}

async function writeCheckpoint(path: string): Promise<void> {
  const dtype = flags.dtype as Dtype
  const source = await subject().open()
  const forms = new Map(
    [...source.tensors].map(([name, { shape }]): [string, TorchForm] => [name, { dtype, shape }]),
  )
  const stream = async function* (name: string): AsyncGenerator<Uint8Array> {
    for await (const { bytes } of source.stream(name, 2 ** 22)) {
      const narrowed = narrowings[dtype](new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4))
      yield new Uint8Array(narrowed.buffer, narrowed.byteOffset, narrowed.byteLength)
    }
  }
  if (path.endsWith('.bin')) await writeTorch(path, forms, stream)
  else await streamSafetensors(path, forms, stream)
}

async function loadCheckpoint(path: string): Promise<Load> {
  const backend = await createBackend(flags.backend as BackendName)
  const before = residentMemory()
  const start = now()
  const { config, source } = await open(path)
  const opened = residentMemory()
  const { bytes } = await loadWeights(config, source, backend, { storage: flags.storage as Storage })
  const seconds = (now() - start) / 1000
  await source.close()
  return { seconds, peak: peakMemory(), held: bytes, before, opened }
}

/** The weights that were written, or a whole model that is there. */
async function open(path: string): Promise<{ config: ModelConfig; source: TensorSource }> {
  if (flags.file === undefined) return { config: subject().config, source: await openWeights(path) }
  const { configJson, source } = await openModelFolder(path)
  return { config: parseConfig(configJson), source }
}

/** Reads the file into the memory of a WebAssembly module, which is the least that a load can do. */
async function placeFile(path: string): Promise<Load> {
  const { size } = statSync(path)
  const memory = new WebAssembly.Memory({ initial: Math.ceil(size / 65_536) })
  const bytes = new Uint8Array(memory.buffer)
  const start = now()
  const file = openSync(path, 'r')
  for (let done = 0; done < size;) done += readSync(file, bytes, done, Math.min(2 ** 21, size - done), done)
  const seconds = (now() - start) / 1000
  closeSync(file)
  return { seconds, peak: peakMemory(), held: size }
}

/** The most that was resident of this process, in bytes. */
const peakMemory = (): number => statusOf('VmHWM')
/** What is resident. */
const residentMemory = (): number => statusOf('VmRSS')

function statusOf(entry: 'VmHWM' | 'VmRSS'): number {
  const [, kilobytes] =
    new RegExp(`${entry}:\\s*(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return 1024 * Number(kilobytes)
}

/** Runs this file in a process of its own, whose peak is that of this work alone; what it printed. */
function inAnotherProcess(work: 'write' | 'load' | 'place', path: string): string {
  const args = [pathOfUrl(import.meta.url), ...commandArguments(), `--${work}`, path]
  const { status, stdout } = spawnSync(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  if (status !== 0) throw new Error(`${work}: expected it to end well, got status ${status}`)
  return stdout.toString()
}

function cat(path: string): Load {
  const start = now()
  const { status } = spawnSync('sh', ['-c', 'cat "$0" > /dev/null', path])
  if (status !== 0) throw new Error(`cat: expected it to end well, got status ${status}`)
  return { seconds: (now() - start) / 1000, peak: 0, held: 0 }
}

/** Has the system forget what it keeps of a file. */
function forget(path: string): void {
  const { status } = spawnSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' })
  if (status !== 0) throw new Error(`dd: expected it to end well, got status ${status}`)
}

/** A model that is there: seconds, and memory over that of the weights with and without what was there before. */
async function measureFile(path: string): Promise<void> {
  const loads = Array.from({ length: Number(flags.rounds) + 1 }, () => {
    if (flags.cold) forget(path)
    return JSON.parse(inAnotherProcess('load', path)) as Load
  }).slice(flags.cold ? 0 : 1)
  const rows = loads.map(({ seconds, peak, held, before = 0, opened = 0 }) => [
    seconds.toFixed(2),
    ...[held, before, opened, peak].map((bytes) => (bytes / 1e6).toFixed(0)),
    ((peak - opened) / held).toFixed(2),
    ((peak - before) / held).toFixed(2),
    (peak / held).toFixed(2),
  ])
  const head = [
    's',
    'weights, MB',
    'before, MB',
    'open, MB',
    'peak, MB',
    'load of weights',
    'all of weights',
    'process of weights',
  ]
  await write('stdout', table([head, ...rows]))
  await write('stdout', `median ${median(loads.map(({ seconds }) => seconds)).toFixed(2)} s\n`)
}

async function measure(folder: string): Promise<void> {
  const formats = Object.keys(fileNames).filter((name): name is Format =>
    ['both', name].includes(flags.format),
  )
  const jobs = formats.flatMap((format) => {
    const path = join(folder, fileNames[format])
    if (!existsSync(path)) inAnotherProcess('write', path)
    const inProcess = (work: 'load' | 'place') => (): Load => JSON.parse(inAnotherProcess(work, path)) as Load
    return [
      { name: `cat ${fileNames[format]}`, path, run: () => cat(path) },
      { name: 'read into memory', path, run: inProcess('place') },
      { name: 'load', path, run: inProcess('load') },
    ]
  })
  const loads = jobs.map(({ run }) => [run()].slice(1)) // untimed: files come into the cache
  for (let round = 0; round < Number(flags.rounds); round++)
    for (const i of turnOrder(round, jobs.length)) {
      if (flags.cold) forget(jobs[i].path)
      loads[i].push(jobs[i].run())
    }
  const rows = jobs.map(({ name, path }, i) => {
    const file = statSync(path).size
    const rates = loads[i].map(({ seconds }) => file / seconds / 1e9)
    const times = (job: number): string =>
      median(loads[i].map(({ seconds }, round) => loads[job][round].seconds / seconds)).toFixed(2)
    const [peak, held] = [Math.max(...loads[i].map((load) => load.peak)), loads[i][0].held]
    const megabytes = (bytes: number): string => (bytes === 0 ? '' : (bytes / 1e6).toFixed(0))
    const over = (bytes: number): string => (peak === 0 ? '' : (peak / bytes).toFixed(3))
    const best = Math.max(...rates).toFixed(2)
    const cells = [megabytes(file), megabytes(held), megabytes(peak), over(held), over(file)]
    const cat = i - (i % 3)
    return [name, ...cells, `${median(rates).toFixed(2)} (${best})`, times(cat), times(cat + 1)]
  })
  const head = [
    '',
    'file, MB',
    'weights, MB',
    'peak, MB',
    'of weights',
    'of file',
    'GB/s',
    'of cat',
    'of reading',
  ]
  await write('stdout', table([head, ...rows]))
}

async function main(): Promise<void> {
  if (flags.write !== undefined) return writeCheckpoint(flags.write)
  if (flags.load !== undefined) return write('stdout', JSON.stringify(await loadCheckpoint(flags.load)))
  if (flags.place !== undefined) return write('stdout', JSON.stringify(await placeFile(flags.place)))
  const { processor, threads } = machine()
  await write('stdout', `${runtime.name} ${runtime.version}, ${runtime.system}, ${threads} x ${processor}\n`)
  if (flags.file !== undefined) {
    await write('stdout', `${flags.file}, ${flags.storage} in memory, ${flags.backend}\n`)
    return measureFile(flags.file)
  }
  await write(
    'stdout',
    `${flags.shape}, ${flags.dtype} in the file, ${flags.storage} in memory, ${flags.backend}, ${flags.cold ? 'from the disk' : 'from the cache'}\n`,
  )
  if (flags.folder !== undefined) {
    mkdirSync(flags.folder, { recursive: true })
    return measure(flags.folder)
  }
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-load-'))
  try {
    await measure(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

await main()
