/**
 * The arms of this project: models of src/engine on the WebAssembly backend. A storage format that is to be compared is one
 * more row of `ours`. Its arms share one loaded model and take turns with it.
 */
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { planOf } from '../../src/bench/methods.ts'
import { randomPredictor } from '../../src/bench/predictors.ts'
import { tokenReads } from '../../src/bench/rows.ts'
import { architectureOf } from '../../src/cost/architectures.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { storages, type Storage } from '../../src/engine/storages/index.ts'
import type { Sequence } from '../../src/engine/sequence.ts'
import type { Plan } from '../../src/evaluation/decode.ts'
import { findPredictor } from '../../src/io/named_predictor.ts'
import { openPredictor, type Predictor } from '../../src/predictor/predictor_file.ts'
import { makeMethod } from '../../src/results/method.ts'
import {
  F16_TOLERANCE,
  F32_TOLERANCE,
  INT4_TOLERANCE,
  INT8_TOLERANCE,
  samplesOf,
  type Arm,
  type Decoder,
} from './decoder.ts'
import type { Format } from '../../src/io/gguf_formats.ts'
import { CAPACITY, type Reference } from './measure.ts'
import type { Subject } from './models.ts'

const SEED = 1

/** What an arm leaves out, of the ranked heads and neurons. */
type Skipped = Pick<Arm<never>, 'sparsity' | 'headSparsity'>

const dense: Skipped = { sparsity: 0 }
const [half, most] = [{ sparsity: 0.5 }, { sparsity: 0.75 }]
/** All of these, and gentler ones. */
const every: readonly Skipped[] = [dense, { sparsity: 0.3 }, half, most, { sparsity: 0.5, headSparsity: 0 }]

/**
 * Every storage, with the format whose file it is loaded from. One that the engine does not have is passed over. Blocks of
 * int4 have a minimum, as those of Q4_1 have; with it a model of Q4_1 is not rounded twice.
 */
const ours: readonly {
  readonly storage: string
  readonly format: Format
  readonly tolerance: number
  readonly skipped: readonly Skipped[]
}[] = [
  { storage: 'f32', format: 'F32', tolerance: F32_TOLERANCE, skipped: [dense] },
  { storage: 'f16', format: 'F16', tolerance: F16_TOLERANCE, skipped: [dense, half, most] },
  { storage: 'int8', format: 'Q8_0', tolerance: INT8_TOLERANCE, skipped: every },
  { storage: 'int4', format: 'Q4_1', tolerance: INT4_TOLERANCE, skipped: every },
]

/** The formats of files beside which a storage is compared. */
export const formatsBeside: Readonly<Record<string, readonly Format[]>> = {
  f32: ['F32'],
  f16: ['F16'],
  int8: ['Q8_0'],
  int4: ['Q4_0', 'Q4_1'],
}

/** What an arm of ours is called. */
function armName(storage: string, { sparsity, headSparsity }: Skipped): string {
  if (sparsity === 0) return `shadowllm ${storage}`
  return `shadowllm ${storage}, ${100 * sparsity} % ${headSparsity === 0 ? 'of neurons skipped' : 'skipped'}`
}

/** A loaded model with at most one sequence. */
class Loaded {
  readonly backend: Backend
  readonly model: LanguageModel
  #sequence: Sequence | null = null
  #predictor: Predictor | null = null

  constructor(backend: Backend, model: LanguageModel) {
    this.backend = backend
    this.model = model
  }

  /** Takes the place of the sequence before it. */
  begin(plan: Plan, capacity: number): Sequence {
    this.#sequence?.dispose()
    this.#sequence = this.model.begin({ ...plan, capacity, expectedTokens: capacity })
    return this.#sequence
  }

  /** The model's own predictor, or one of random numbers in the published sizes. */
  async predictor({ predictor, config }: Subject): Promise<Predictor> {
    const { storage } = this.model.weights
    this.#predictor ??=
      predictor === null
        ? randomPredictor('shadow', config, this.backend, storage, SEED)
        : await openPredictor(await findPredictor(predictor), this.backend, storage)
    return this.#predictor
  }
}

class OurDecoder implements Decoder {
  readonly #loaded: Loaded
  readonly #plan: Plan
  readonly #capacity: number
  #sequence: Sequence | null = null

  /** @param capacity positions to make room for */
  constructor(loaded: Loaded, plan: Plan, capacity: number) {
    this.#loaded = loaded
    this.#plan = plan
    this.#capacity = capacity
  }

  begin(prompt: Int32Array): Float32Array {
    this.#sequence = this.#loaded.begin(this.#plan, this.#capacity)
    return this.#sequence.feed(prompt, 'last')
  }

  /** @throws Error before `begin` */
  next(token: number): Float32Array {
    if (!this.#sequence) throw new Error('next: expected a sequence that has begun')
    return this.#sequence.feed(Int32Array.of(token), 'last')
  }

  weightsRead(): number {
    const { model } = this.#loaded
    const asked = { bytes: 0, every: 'once', tokens: 1 } as const
    const mask = this.#sequence?.mask ?? null
    return tokenReads(architectureOf('', model.config), model.weights.storage, mask, asked)
  }

  dispose(): void {
    this.#loaded.backend.dispose()
  }
}

/** The model in a storage, from the file of a format, on a backend of its own. */
export async function load(
  subject: Subject,
  format: Format,
  storage: Storage,
  threads: number,
): Promise<Loaded> {
  const backend = await createBackend('wasm', { threads })
  const source = await subject.openAs(format)
  try {
    return new Loaded(backend, await LanguageModel.load(subject.config, source, backend, { storage }))
  } finally {
    await source.close()
  }
}

async function planFor(subject: Subject, loaded: Loaded, skipped: Skipped): Promise<Plan> {
  if (skipped.sparsity === 0) return {}
  const predictors = [await loaded.predictor(subject)]
  const method = makeMethod({ planner: 'shadow', ...skipped })
  return planOf(method, loaded.model, { predictors, mask: null, mode: 'auto', seed: SEED })
}

/** Our arms for a model on so many threads, with room for so many positions. */
export function ourArms({ formats }: Subject, threads: number, capacity = CAPACITY): Arm<Subject>[] {
  return ours.flatMap(({ storage: name, format, tolerance, skipped }) => {
    const storage = storages.find((one) => one === name)
    if (storage === undefined || !formats.includes(format)) return []
    let loading: Promise<Loaded> | undefined
    return skipped.map((share): Arm<Subject> => {
      return {
        name: armName(storage, share),
        engine: 'shadowllm wasm',
        weights: storage,
        format,
        ...share,
        threads,
        tolerance: share.sparsity === 0 ? tolerance : null,
        async make(subject) {
          const loaded = await (loading ??= load(subject, format, storage, threads))
          return new OurDecoder(loaded, await planFor(subject, loaded, share), capacity)
        },
      }
    })
  })
}

/** What a model of every format says in float32 arithmetic on the weights of its file. */
export function exactReference(subject: Subject): Reference {
  const { exact, config } = subject
  return {
    error: exact === 'f32' ? 0 : F16_TOLERANCE,
    async samples(format) {
      const decoder = new OurDecoder(await load(subject, format, exact, 1), {}, CAPACITY)
      const samples = await samplesOf(decoder, config.vocabulary)
      decoder.dispose()
      return samples
    },
  }
}
