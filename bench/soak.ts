/**
 * Runs models for a long time and looks at what they hold: whether memory, buffers and threads stay what they were.
 *
 *   node scripts/node.mjs bench/soak.ts [--cycles 10000] [--backend NAME] [--json]
 *
 * A cycle writes a text on the embedded model, under another planner each time, every third loop left early. Each tenth
 * cycle also loads the model anew, writes on it and disposes of it, in the middle of a text every other time. Each backend
 * has a process of its own. After each fiftieth of the cycles the garbage is collected and everything counted.
 *
 * Flat is, for the least of each quarter: buffers, pages of WebAssembly memory and threads are in the last quarter what they
 * were in the third, the JavaScript heap has no more than 256 KiB more, and resident memory no more than 32 MiB. Of 10,000
 * cycles that is a hundred bytes a text and 131 KiB a load. Ends with exit code 1 otherwise. The system tells of threads on
 * Linux only.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { BackendName } from '../src/backends/backend.ts'
import { formatColumns } from '../src/cli/words.ts'
import { ShadowModel, type GenerateOptions } from '../src/library/index.ts'
import {
  commandArguments,
  machine,
  residentMemory,
  runtime,
  endWhenIdle,
  write,
} from '../src/platform/platform.ts'
import { faultsOf, floorsOf, type Sample } from './soak_verdict.ts'

/** What runs, each in a process of its own. */
const subjects = [
  { backend: 'reference', threads: 1 },
  { backend: 'wasm', threads: 1 },
  { backend: 'wasm', threads: 2 },
  { backend: 'wasm-relaxed', threads: 1 },
  { backend: 'wasm-relaxed', threads: 2 },
] as const satisfies readonly { backend: BackendName; threads: number }[]

/** What a subject's run was. */
interface Soak {
  readonly backend: BackendName
  readonly threads: number
  readonly cycles: number
  readonly seconds: number
  readonly samples: readonly Sample[]
  /** What is not flat. */
  readonly faults: readonly string[]
}

const SAMPLES = 50

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

function sampleOf(opt: ShadowModel, cycle: number): Sample {
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

async function writeText(opt: ShadowModel, cycle: number): Promise<void> {
  const options = { ...planners[cycle % planners.length], seed: cycle, maxTokens: 2 }
  for await (const { index } of opt.generate([2, 601, 3455, 12], options))
    if (cycle % 3 === 0 && index === 0) break
}

/** A model that is loaded for a moment. @param ends whether its text is left before it is disposed of */
async function loadAndDispose(opt: ShadowModel, ends: boolean): Promise<void> {
  const text = opt.generate([2, 601], { maxTokens: 2 })
  await text.next()
  if (ends) await text.return('length')
  await opt.dispose()
}

/** One subject, in this process. */
async function soak(backend: BackendName, threads: number, cycles: number): Promise<Soak> {
  watchMemories()
  const open = (): Promise<ShadowModel> => ShadowModel.fromPretrained('embedded', { backend, threads })
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
  const left = opt.model.backend.liveBuffers > 0 ? ['buffers after dispose'] : []
  return { backend, threads, cycles, seconds, samples, faults: [...faultsOf(samples), ...left] }
}

/** The sample at a share of the cycles. */
function at(samples: readonly Sample[], share: number): Sample {
  return samples[Math.max(0, Math.round(share * samples.length) - 1)]
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
    '50 %',
    'end',
  ]
  headings.push('KiB per 1,000', 'buffers', 'pages', 'threads', 'seconds', '')
  const rows = soaks.map(({ backend, threads, samples, seconds, faults }) => {
    const [early, middle, end] = [0.1, 0.5, 1].map((share) => at(samples, share))
    const counted = (['buffers', 'pages', 'threads'] as const).map((name) => {
      const [, , third, last] = floorsOf(samples, name)
      return last === third ? `${end[name] === null ? '-' : last}` : `${third} to ${last}`
    })
    return [
      threads === 1 ? backend : `${backend} x${threads}`,
      ...[early, middle, end].map(({ resident }) => mebibytes(resident)),
      kibibytesPerThousand(samples, 'resident'),
      ...[early, middle, end].map(({ heap }) => mebibytes(heap)),
      kibibytesPerThousand(samples, 'heap'),
      ...counted,
      seconds.toFixed(0),
      faults.length === 0 ? 'flat' : `NOT FLAT: ${faults.join(', ')}`,
    ]
  })
  return formatColumns([headings, ...rows], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
}

/** How fast the floor rises between the third quarter and the last. */
function kibibytesPerThousand(samples: readonly Sample[], held: 'resident' | 'heap'): string {
  const [, , third, last] = floorsOf(samples, held)
  const cycles = (samples[samples.length - 1].cycle / 4) * 1.024
  return ((last - third) / cycles).toFixed(0)
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
    endWhenIdle(2)
  } else {
    const soaks: Soak[] = []
    for (const subject of chosen) soaks.push(await soakApart(subject, cycles))
    const { processor, threads } = machine()
    const about = `${runtime.name} ${runtime.version}, ${runtime.system}, ${threads} x ${processor}\n`
    const text = `${about}${cycles} cycles, ${Math.floor(cycles / 10)} of them with a load\n\n${formatSoaks(soaks)}`
    await write('stdout', values.json ? `${JSON.stringify(soaks, null, 2)}\n` : text)
    if (soaks.some(({ faults }) => faults.length > 0)) endWhenIdle(1)
  }
}
