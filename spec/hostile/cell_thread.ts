/**
 * The inside of a cell: a thread that loads readers and judges one input after the other. It says which one it is at in
 * shared memory, so that whoever ends it knows.
 */
import { readFileSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { judge, meterMemory } from './judge.ts'
import { corpusOf, mutantOf } from './mutate.ts'
import type { HostileInput } from '../../fixtures/hostile/input.ts'
import type { Reader } from './reader.ts'
import type { Answer, Job, Plant, Setting } from './cell.ts'

meterMemory()
const { module, place, folder, plants } = workerData as Setting
if (plants.length > 0) await plant(plants)
const { readers, inputsOf } = (await import(module)) as {
  readers: readonly Reader[]
  inputsOf: (name: string) => readonly HostileInput[]
}
const corpora = new Map<string, Uint8Array[]>()

parentPort?.on('message', (job: Job) => void run(job))
parentPort?.postMessage('ready', [])

async function run(job: Job): Promise<void> {
  const reader = readers.find(({ name }) => name === job.reader)
  if (!reader) throw new TypeError(`${job.reader}: expected the name of a reader`)
  const end = performance.now() + (job.milliseconds ?? Infinity)
  for (let index = job.from; index < job.to && performance.now() < end; index++) {
    Atomics.store(place, 0, index)
    const bytes = await inputOf(reader, job, index)
    // The time counts from here: making an input is not the reader's work.
    Atomics.store(place, 1, 1)
    const before = process.cpuUsage()
    const outcome = await judge(reader, bytes, folder, job.once)
    const { user, system } = process.cpuUsage(before)
    Atomics.store(place, 1, 0)
    parentPort?.postMessage({ index, outcome, milliseconds: (user + system) / 1000 } satisfies Answer, [])
    // What was done to a prototype is done to all that come after.
    if (outcome.kind === 'fault' && outcome.what.startsWith('the prototype'))
      return parentPort?.postMessage('stained', [])
  }
  parentPort?.postMessage('done', [])
}

async function inputOf(reader: Reader, job: Job, index: number): Promise<Uint8Array> {
  if (job.inputs !== undefined) return job.inputs[index]
  if (job.seed === undefined) return inputsOf(job.reader)[index].make()
  const corpus = corpora.get(reader.name) ?? (await corpusOf(reader, inputsOf(reader.name)))
  corpora.set(reader.name, corpus)
  return mutantOf(reader, corpus, job.seed, index)
}

/** Changes the text of source files as they are loaded. */
async function plant(bugs: readonly Plant[]): Promise<void> {
  // Deno has no such function.
  const { registerHooks } = await import('node:module')
  const sources = new Map<string, string>()
  for (const { file, from, to } of bugs) {
    const url = new URL(`../../${file}`, import.meta.url)
    const source = sources.get(url.href) ?? readFileSync(url, 'utf8')
    if (source.split(from).length !== 2) throw new RangeError(`${file}: expected once ${from}`)
    sources.set(
      url.href,
      source.replace(from, () => to),
    )
  }
  registerHooks({
    load(url, context, nextLoad) {
      const source = sources.get(url)
      return source === undefined ? nextLoad(url, context) : { ...nextLoad(url, context), source }
    },
  })
}
