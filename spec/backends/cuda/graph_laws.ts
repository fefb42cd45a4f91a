/**
 * What graphs must not change: nothing. Ops that come again and again, on buffers that take turns, with sizes that grow,
 * with writes in between and memory that comes and goes, give the bits of the reference.
 */
import fc from 'fast-check'
import type { Backend, Buffer } from '../../../src/backends/backend.ts'
import type { CudaBackend } from '../../../src/backends/cuda/cuda_backend.ts'
import { ReferenceBackend } from '../../../src/backends/reference.ts'
import { LanguageModel } from '../../../src/engine/language_model.ts'
import { argmax } from '../../../src/engine/sampling.ts'
import type { Sequence } from '../../../src/engine/sequence.ts'
import { UsageError } from '../../../src/tensor/errors.ts'
import { sameBits } from '../../../src/verify/compare.ts'
import { Data } from '../../../src/testing/seeded_data.ts'
import { checkOn, lawForAll } from '../../harness/seed.ts'
import { maskOf, smallCase, withModel, type ModelCase } from '../../engine/cases.ts'

const BUFFERS = 5
const LENGTH = 12

const place = fc.nat({ max: BUFFERS - 1 })
const start = fc.constantFrom(0, 0, 0, 4)
const count = fc.integer({ min: 1, max: LENGTH - 4 })

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ does: fc.constant('add'), y: place, a: place, b: place, start, count }),
  },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('relu'), y: place, a: place, start, count }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('write'), y: place, start, count }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('zero'), y: place, start, count }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('borrow'), y: place, a: place, start, count }) },
)

interface Step {
  readonly does: string
  readonly y: number
  readonly a?: number
  readonly b?: number
  readonly start: number
  readonly count: number
}

/** Steps that are done over and over. */
interface Program {
  readonly steps: readonly Step[]
  readonly rounds: number
  /** Which buffers each round takes others for: none, all, or those that are read, so that others wait for others. */
  readonly turns: 'none' | 'all' | 'sources'
  /** Whether its sizes are others. */
  readonly grows: boolean
  /** After so many rounds everything is read. */
  readonly reads: number
}

const anyProgram: fc.Arbitrary<Program> = fc.record({
  steps: fc.array(step, { minLength: 4, maxLength: 14 }),
  rounds: fc.integer({ min: 2, max: 5 }),
  turns: fc.constantFrom('none', 'all', 'sources'),
  grows: fc.boolean(),
  reads: fc.integer({ min: 1, max: 2 }),
})

/** Whatever the door refuses is refused on every backend, so that it is no step. */
function unlessRefused(run: () => void): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof UsageError) || error.code !== 'BUFFER_ALIAS') throw error
  }
}

/** Runs a program. @returns everything it read, one after the other */
function runProgram(backend: Backend, { steps, rounds, turns, grows, reads }: Program): number[] {
  const buffers = Array.from({ length: BUFFERS }, (_, i) =>
    backend.upload(Float32Array.from({ length: LENGTH }, (_, n) => i + 1 + n / 8)),
  )
  const read: number[] = []
  const readAll = (): void => buffers.forEach((buffer) => read.push(...backend.readF32(buffer)))
  try {
    for (let round = 0; round < rounds; round++) {
      for (const { does, y, a = 0, b = 0, start, count } of steps) {
        const N = grows ? 1 + ((count + round) % (LENGTH - 4)) : count
        const at = (i: number, from: number, moves: boolean): Buffer =>
          backend.view(buffers[(i + (moves ? round : 0)) % BUFFERS], [N], from)
        const to = at(y, start, turns === 'all')
        const source = (i: number, from: number): Buffer => at(i, from, turns !== 'none')
        const values = Float32Array.from({ length: N }, (_, n) => round - n / 4)
        if (does === 'add') unlessRefused(() => backend.ops.add(to, source(a, 0), source(b, start)))
        else if (does === 'relu') unlessRefused(() => backend.ops.relu(to, source(a, start)))
        else if (does === 'write') backend.write(to, values)
        else if (does === 'zero') backend.zero(to)
        else {
          const lent = backend.upload(values)
          unlessRefused(() => backend.ops.add(to, lent, source(a, start)))
          backend.free(lent)
        }
      }
      if (round % reads === 0) readAll()
    }
    readAll()
    return read
  } finally {
    for (const buffer of buffers) backend.free(buffer)
  }
}

/** Programs give the bits of the reference, and some of them were run by graphs. @throws Error where that is not so */
export async function graphsAreInvisible(
  lend: (work: (backend: CudaBackend) => void) => void | Promise<void>,
): Promise<void> {
  const reference = new ReferenceBackend()
  let launched = 0
  const isInvisible = async (program: Program): Promise<void> => {
    await lend((backend) => {
      const before = backend.graphCounts?.launched ?? 0
      sameBits('read', runProgram(backend, program), runProgram(reference, program))
      launched += (backend.graphCounts?.launched ?? 0) - before
    })
  }
  const examples = programs.map((program) => ({ program }))
  const law = lawForAll(
    'graphs change no bit',
    { program: anyProgram },
    (_: null, { program }) => isInvisible(program),
    {
      examples,
      runs: 100 + examples.length,
    },
  )
  await checkOn(law, null, { record: false })
  if (launched === 0) throw new Error('graphs: expected some to be launched, got none')
}

/** A sum that grows from buffer to buffer, each waiting for the one before. */
const sums: Program = {
  steps: [0, 1, 2, 3].map((y) => ({ does: 'add', y: y + 1, a: y, b: y, start: 0, count: 8 })),
  rounds: 4,
  turns: 'all',
  grows: true,
  reads: 1,
}

/** What a launch reads is overwritten after it, and set to zero, before anybody waits. */
const overwritten: Program = {
  steps: [
    { does: 'add', y: 1, a: 0, b: 0, start: 0, count: 8 },
    { does: 'write', y: 0, start: 0, count: 8 },
    { does: 'add', y: 2, a: 0, b: 1, start: 0, count: 8 },
    { does: 'zero', y: 1, start: 0, count: 8 },
    { does: 'add', y: 3, a: 2, b: 0, start: 0, count: 8 },
  ],
  rounds: 3,
  turns: 'none',
  grows: false,
  reads: 2,
}

/** Copies, of which the second needs the first in the third round alone, when there is a graph already. */
const otherOrder: Program = {
  steps: [
    { does: 'relu', y: 0, a: 1, start: 0, count: 8 },
    { does: 'relu', y: 1, a: 3, start: 0, count: 8 },
    { does: 'relu', y: 2, a: 2, start: 0, count: 8 },
    { does: 'relu', y: 2, a: 2, start: 0, count: 8 },
  ],
  rounds: 3,
  turns: 'sources',
  grows: false,
  reads: 1,
}

/** Programs that are always tried, however few others are. */
const programs: readonly Program[] = [sums, otherOrder, overwritten]

const smallModel: ModelCase = { ...smallCase, headSize: 4, neurons: 18, positions: 20, seed: 7 }

const STEPS = 5

/** How one of several texts is begun: some under a mask, some with an int8 cache. */
function beginning(which: number): { prompt: Int32Array; options: Parameters<LanguageModel['begin']>[0] } {
  const data = new Data(which)
  return {
    prompt: data.ids('prompt', 1 + (which % 4), smallModel.vocabulary),
    options: {
      mask: which % 3 === 1 ? maskOf(smallModel, data) : null,
      cache: which % 4 === 2 ? 'int8' : 'f32',
      capacity: which % 2 === 0 ? 2 : undefined,
    },
  }
}

/** Writes one token on. @returns its logits */
function writeOn(sequence: Sequence, last: Float32Array): Float32Array {
  return sequence.feed(Int32Array.of(argmax(last)), 'last')
}

/**
 * So many texts, one token of each in turn, have the bits that each has alone: on the reference, or on another backend.
 * @throws Error naming the first number that differs
 */
export async function inTurnIsAlone(
  backend: Backend,
  texts: number,
  alone: Backend = new ReferenceBackend(),
): Promise<void> {
  const expected: Float32Array[][] = []
  const subject = (on: Backend): Parameters<typeof withModel>[0] => ({
    backend: on,
    load: LanguageModel.load,
  })
  await withModel(subject(alone), smallModel, (model) => {
    for (let which = 0; which < texts; which++) {
      const { prompt, options } = beginning(which)
      using sequence = model.begin(options)
      const logits = [sequence.feed(prompt, 'last')]
      for (let n = 0; n < STEPS; n++) logits.push(writeOn(sequence, logits[n]))
      expected.push(logits)
    }
  })
  await withModel(subject(backend), smallModel, (model) => {
    const sequences: Sequence[] = []
    try {
      const last = expected.map((logits, which) => {
        const { prompt, options } = beginning(which)
        sequences.push(model.begin(options))
        const first = sequences[which].feed(prompt, 'last')
        sameBits(`text ${which}, prompt`, first, logits[0])
        return first
      })
      for (let n = 0; n < STEPS; n++)
        for (const [which, sequence] of sequences.entries()) {
          last[which] = writeOn(sequence, last[which])
          sameBits(`text ${which}, token ${n}`, last[which], expected[which][n + 1])
        }
    } finally {
      for (const sequence of sequences) sequence.dispose()
    }
  })
}
