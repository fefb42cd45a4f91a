/**
 * Loading, checking and timing of arms. All of them are loaded at once and take turns (bench/timing.ts), so each round
 * has a figure of each, and ratios are taken within rounds.
 */
import { MissingError } from '../../src/tensor/errors.ts'
import { interleaveAsync, type Rates, type WaitingJob } from '../timing.ts'
import type { Format } from '../../src/io/gguf_formats.ts'
import { checkAgreement, promptOf, samplesOf, type Arm, type Decoder } from './decoder.ts'

/** An arm that is ready. */
export interface LoadedArm extends Omit<Arm<never>, 'make' | 'tolerance'> {
  readonly decoder: Decoder
  /** Of its logits against the exact ones, as a share of the largest logit; null where it is not compared. */
  readonly error: number | null
  /** Bytes of weights that a token read at most as it was checked; null where that is not known. */
  readonly weightsRead: number | null
}

/** An arm that cannot be here, and why. */
export interface LeftOut {
  readonly name: string
  readonly reason: string
}

/** What is timed, in tokens. */
export interface Task {
  readonly name: string
  readonly prompt: number
  /** Tokens after the prompt; they alone are timed. 0: the prompt is. */
  readonly steps: number
  /** Whether each round goes on where the last one ended: a long prompt is run once. */
  readonly goesOn?: true
}

/** Short texts. */
export const shortTasks: readonly Task[] = [
  { name: 'pp128', prompt: 128, steps: 0 },
  { name: 'tg32', prompt: 8, steps: 32 },
]

/** How the cost grows with the text. */
export const depthTasks: readonly Task[] = [
  ...[512, 2048, 4096].map((prompt) => ({ name: `pp${prompt}`, prompt, steps: 0 })),
  ...[1024, 4096, 8000].map((prompt): Task => ({ name: `tg8 at ${prompt}`, prompt, steps: 8, goesOn: true })),
]

/** Positions that the longest task needs, and one: llama.cpp reads a text anew when it fills its context. */
export function capacityOf(tasks: readonly Task[], rounds: number): number {
  return Math.max(...tasks.map(({ prompt, steps, goesOn }) => prompt + steps * (goesOn ? rounds + 1 : 1))) + 1
}

/** Those of short texts. */
export const CAPACITY: number = capacityOf(shortTasks, 1)

/** The rates of all arms at one task, in their order. */
export interface Timed {
  readonly test: string
  readonly rates: readonly Rates[]
}

/** What arms are held against. */
export interface Reference {
  /** Logits of the weights of a format, by `samplesOf`, in arithmetic that adds no error of its own. */
  readonly samples: (format: Format) => Promise<readonly Float32Array[]>
  /** What they may be wrong by, as a share of the largest logit. */
  readonly error: number
}

/** Loads arms and holds each against the reference. */
export class Roster {
  /** Arms that could not be loaded for want of memory. */
  readonly leftOut: LeftOut[] = []
  readonly #vocabulary: number
  readonly #reference: Reference
  readonly #expected = new Map<Format, readonly Float32Array[]>()

  constructor(vocabulary: number, reference: Reference) {
    this.#vocabulary = vocabulary
    this.#reference = reference
  }

  /**
   * Those of the arms that there is memory for.
   * @throws ShadowError PEER_DISAGREES; what `make` throws, but for BACKEND_MEMORY; what the reference throws
   */
  async load<Model>(arms: readonly Arm<Model>[], model: Model): Promise<LoadedArm[]> {
    const loaded: LoadedArm[] = []
    for (const { make, tolerance, ...arm } of arms) {
      const { name, format } = arm
      const expected = this.#expected.get(format) ?? (await this.#reference.samples(format))
      this.#expected.set(format, expected)
      try {
        const decoder = await make(model)
        const samples = await samplesOf(decoder, this.#vocabulary)
        const most = tolerance && Math.max(tolerance, this.#reference.error)
        loaded.push({
          ...arm,
          decoder,
          weightsRead: decoder.weightsRead?.() ?? null,
          error: checkAgreement({ ...arm, tolerance: most }, expected, samples),
        })
      } catch (error) {
        if (!(error instanceof MissingError) || error.code !== 'BACKEND_MEMORY') throw error
        this.leftOut.push({ name, reason: error.message })
      }
    }
    return loaded
  }
}

/** What is timed of an arm. */
type Timeable = Pick<LoadedArm, 'name' | 'decoder'>

function job({ name, decoder }: Timeable, { prompt, steps, goesOn }: Task, vocabulary: number): WaitingJob {
  const text = promptOf(prompt, vocabulary)
  let hasBegun = false
  const begin = async (): Promise<void> => {
    if (!(goesOn && hasBegun)) await decoder.begin(text, false)
    hasBegun = true
  }
  const clock = decoder.clock && { clock: () => decoder.clock?.() as Promise<number> }
  if (steps === 0) return { name, work: prompt, prepare: async () => {}, run: begin, ...clock }
  return {
    name,
    work: steps,
    ...clock,
    prepare: begin,
    async run() {
      for (let i = 0; i < steps; i++) await decoder.next((1000 + i) % vocabulary, false)
    },
  }
}

/** Times every arm at every task. Tasks that go on want arms that share no sequence. */
export async function timeArms(
  arms: readonly Timeable[],
  vocabulary: number,
  rounds: number,
  tasks = shortTasks,
): Promise<Timed[]> {
  const timed: Timed[] = []
  for (const task of tasks) {
    const jobs = arms.map((arm) => job(arm, task, vocabulary))
    timed.push({ test: task.name, rates: await interleaveAsync(jobs, rounds) })
  }
  return timed
}
