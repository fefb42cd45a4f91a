/**
 * Runs models for a long time and looks at what they hold: whether memory, buffers and threads stay what they were.
 *
 *   node scripts/node.mjs bench/soak.ts [--cycles 10000] [--backend NAME] [--json]
 *
 * A cycle writes a text on the embedded model, under another planner each time, every third loop left early. Each tenth
 * cycle also loads the model anew, writes on it and disposes of it, in the middle of a text every other time. Each backend
 * has a process of its own. After each fiftieth of the cycles the garbage is collected and everything counted.
 *
 * Flat is: live buffers, pages of WebAssembly memory and threads are the same at 10 %, at 50 % and at the end; over the
 * second half the JavaScript heap grows by less than 32 KiB per 1,000 cycles, and resident memory by less than 1 MiB.
 * Ends with exit code 1 if one is not. The system tells of threads on Linux only.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { BackendName } from '../src/backends/backend.ts'
import { formatColumns } from '../src/cli/words.ts'
import { ShadowOpt, type GenerateOptions } from '../src/index.ts'
import {
  commandArguments,
  machine,
  residentMemory,
  runtime,
  setExitCode,
  write,
} from '../src/platform/platform.ts'

/** What runs, each in a process of its own. */
const subjects = [
  { backend: 'reference', threads: 1 },
  { backend: 'wasm', threads: 1 },
  { backend: 'wasm', threads: 2 },
  { backend: 'wasm-relaxed', threads: 1 },
  { backend: 'wasm-relaxed', threads: 2 },
] as const satisfies readonly { backend: BackendName; threads: number }[]

/** What is held after so many cycles. */
interface Sample {
  readonly cycle: number
  /** Bytes. */
  readonly resident: number
  /** Bytes, after garbage collection. */
  readonly heap: number
  /** Of the model that is kept. */
  readonly buffers: number
  /** Of all WebAssembly memories, 64 KiB each. */
  readonly pages: number
  /** Of the process; null where the system does not tell. */
  readonly threads: number | null
}

/** What a subject's run was. */
interface Soak {
  readonly backend: BackendName
  readonly threads: number
  readonly cycles: number
  readonly seconds: number
  readonly samples: readonly Sample[]
  /** Bytes per 1,000 cycles, over the second half. */
  readonly residentSlope: number
  readonly heapSlope: number
  /** What is not flat. */
  readonly faults: readonly string[]
}

const SAMPLES = 50
const MOST_HEAP = 32 * 2 ** 10 // bytes per 1,000 cycles
const MOST_RESIDENT = 2 ** 20 // bytes per 1,000 cycles

const memories: WeakRef<WebAssembly.Memory>[] = []

/** Counts the memories that are made from here on, as long as anything holds them. */
function watchMemories(): void {
  WebAssembly.Memory = class extends WebAssembly.Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      super(descriptor)
      memories.push(new WeakRef(this))
    }
  }
}

function countPages(): number {
  const held = memories.filter((memory) => memory.deref() !== undefined)
  memories.splice(0, memories.length, ...held)
  return held.reduce((sum, memory) => sum + (memory.deref()?.buffer.byteLength ?? 0) / 65536, 0)
}

/** Collects all garbage, what waits for a turn of the event loop too. */
async function collect(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    globalThis.gc?.()
  }
}

function sampleOf(opt: ShadowOpt, cycle: number): Sample {
  return {
    cycle,
    resident: residentMemory() as number,
    heap: process.memoryUsage().heapUsed,
    buffers: opt.model.backend.liveBuffers,
    pages: countPages(),
    threads: existsSync('/proc/self/task') ? readdirSync('/proc/self/task').length : null,
  }
}

const planners: readonly GenerateOptions[] = [
  { planner: 'dense' },
  { planner: 'random', sparsity: 0.5 },
  { planner: 'shadow', sparsity: 0.7 },
  { planner: 'shadow', sparsity: 0.5, mode: 'skip', cache: 'int8' },
  { planner: 'random', sparsity: 0.8, every: 1, temperature: 1 },
]

async function writeText(opt: ShadowOpt, cycle: number): Promise<void> {
  const options = { ...planners[cycle % planners.length], seed: cycle, maxTokens: 2 }
  for await (const { index } of opt.generate([2, 601, 3455, 12], options))
    if (cycle % 3 === 0 && index === 0) break
}

/** A model that is loaded for a moment. @param ends whether its text is left before it is disposed of */
async function loadAndDispose(opt: ShadowOpt, ends: boolean): Promise<void> {
  const text = opt.generate([2, 601], { maxTokens: 2 })
  await text.next()
  if (ends) await text.return('length')
  await opt.dispose()
}

/** One subject, in this process. */
async function soak(backend: BackendName, threads: number, cycles: number): Promise<Soak> {
  watchMemories()
  const open = (): Promise<ShadowOpt> => ShadowOpt.fromPretrained('embedded', { backend, threads })
  const opt = await open()
  const start = performance.now()
  const samples: Sample[] = []
  const every = Math.max(1, Math.floor(cycles / SAMPLES))
  for (let cycle = 1; cycle <= cycles; cycle++) {
    await writeText(opt, cycle)
    if (cycle % 10 === 0) await loadAndDispose(await open(), cycle % 20 === 0)
    if (cycle % every !== 0) continue
    await collect()
    samples.push(sampleOf(opt, cycle))
  }
  const seconds = (performance.now() - start) / 1000
  await opt.dispose()
  const later = samples.filter(({ cycle }) => cycle >= cycles / 2)
  const residentSlope = slopeOf(later, 'resident')
  const heapSlope = slopeOf(later, 'heap')
  const faults = (['buffers', 'pages', 'threads'] as const).filter(
    (name) => new Set([0.1, 0.5, 1].map((share) => at(samples, share)[name])).size > 1,
  )
  return {
    backend,
    threads,
    cycles,
    seconds,
    samples,
    residentSlope,
    heapSlope,
    faults: [
      ...faults,
      ...(residentSlope > MOST_RESIDENT ? ['resident memory'] : []),
      ...(heapSlope > MOST_HEAP ? ['heap'] : []),
      ...(opt.model.backend.liveBuffers > 0 ? ['buffers after dispose'] : []),
    ],
  }
}

/** The sample at a share of the cycles. */
function at(samples: readonly Sample[], share: number): Sample {
  return samples[Math.max(0, Math.round(share * samples.length) - 1)]
}

/** Bytes per 1,000 cycles, by least squares. */
function slopeOf(samples: readonly Sample[], name: 'resident' | 'heap'): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length
  const x = samples.map(({ cycle }) => cycle)
  const y = samples.map((sample) => sample[name])
  const [mx, my] = [mean(x), mean(y)]
  const variance = mean(x.map((value) => (value - mx) ** 2))
  return variance === 0 ? 0 : (1000 * mean(x.map((value, i) => (value - mx) * (y[i] - my)))) / variance
}

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1)

function formatSoaks(soaks: readonly Soak[]): string {
  const headings = [
    'backend',
    'RSS MiB at 10 %',
    '50 %',
    'end',
    'KiB per 1,000',
    'heap MiB at 10 %',
    'end',
    'KiB per 1,000',
    'buffers',
    'pages',
    'threads',
    'seconds',
    '',
  ]
  const rows = soaks.map(({ backend, threads, samples, residentSlope, heapSlope, seconds, faults }) => {
    const [early, middle, end] = [0.1, 0.5, 1].map((share) => at(samples, share))
    const both = (name: 'buffers' | 'pages' | 'threads'): string =>
      early[name] === end[name] ? `${end[name] ?? '-'}` : `${early[name]} to ${end[name]}`
    return [
      threads === 1 ? backend : `${backend} x${threads}`,
      mebibytes(early.resident),
      mebibytes(middle.resident),
      mebibytes(end.resident),
      (residentSlope / 1024).toFixed(1),
      mebibytes(early.heap),
      mebibytes(end.heap),
      (heapSlope / 1024).toFixed(1),
      both('buffers'),
      both('pages'),
      both('threads'),
      seconds.toFixed(0),
      faults.length === 0 ? 'flat' : `NOT FLAT: ${faults.join(', ')}`,
    ]
  })
  return formatColumns([headings, ...rows], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
}

/** One subject, in a process of its own that collects garbage when it is told to. */
function soakApart({ backend, threads }: (typeof subjects)[number], cycles: number): Promise<Soak> {
  const args = ['--expose-gc', fileURLToPath(import.meta.url), '--backend', backend]
  const child = spawn(
    process.execPath,
    [...args, '--threads', String(threads), '--cycles', String(cycles), '--alone'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(output) as Soak)
      else reject(new Error(`${backend}: expected an end, got exit code ${code}`))
    })
  })
}

const { values } = parseArgs({
  args: commandArguments(),
  options: {
    cycles: { type: 'string', default: '10000' },
    backend: { type: 'string' },
    threads: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    alone: { type: 'boolean', default: false },
  },
})
const cycles = Number(values.cycles)
if (values.alone) {
  const found = await soak(values.backend as BackendName, Number(values.threads), cycles)
  await write('stdout', JSON.stringify(found))
} else {
  const chosen = subjects.filter(({ backend }) => values.backend === undefined || values.backend === backend)
  if (chosen.length === 0 || !(Number.isInteger(cycles) && cycles >= SAMPLES)) {
    await write('stderr', `soak: expected a backend's name and at least ${SAMPLES} cycles, got others\n`)
    setExitCode(2)
  } else {
    const soaks: Soak[] = []
    for (const subject of chosen) soaks.push(await soakApart(subject, cycles))
    const { processor, threads } = machine()
    const about = `${runtime.name} ${runtime.version}, ${runtime.system}, ${threads} x ${processor}\n`
    const text = `${about}${cycles} cycles, ${Math.floor(cycles / 10)} of them with a load\n\n${formatSoaks(soaks)}`
    await write('stdout', values.json ? `${JSON.stringify(soaks, null, 2)}\n` : text)
    if (soaks.some(({ faults }) => faults.length > 0)) setExitCode(1)
  }
}
