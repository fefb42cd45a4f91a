/**
 * The inside of a cell: a thread that loads readers and judges one input after the other. It says which one it is at in
 * shared memory, so that whoever ends it knows.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { judge, meterMemory } from './judge.ts'
import { corpusOf, mutantOf } from './mutate.ts'
import type { HostileInput } from '../../fixtures/hostile/input.ts'
import type { Reader } from './reader.ts'
import type { Job, Setting } from './cell.ts'

meterMemory()
const { module, place, folder } = workerData as Setting
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
    const outcome = await judge(reader, bytes, folder)
    Atomics.store(place, 1, 0)
    parentPort?.postMessage({ index, outcome }, [])
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
