/**
 * One network of a predictor: two linear layers, after an attention pool if it reads the whole prompt.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { Storage } from '../engine/matrix.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Random } from '../tensor/random.ts'
import {
  AttentionPool,
  poolParameterNames,
  poolParameterShapes,
  startingPool,
  type PoolParameterName,
  type PoolValues,
} from './attention_pool.ts'
import {
  Mlp,
  mlpParameterNames,
  mlpParameterShapes,
  startingValues,
  type MlpParameterName,
  type MlpPass,
  type MlpShape,
  type MlpValues,
} from './mlp.ts'

/** The sizes of a network. */
export interface NetworkShape extends MlpShape {
  /** Whether it takes a prompt [T, I] and pools it by attention, rather than a row [I]. */
  readonly pools?: boolean
}

export type NetworkParameterName = MlpParameterName | PoolParameterName

/** The values of a network, on the host, with those of its pool if it has one. */
export type NetworkValues = MlpValues & Partial<PoolValues>

/** The parameters a network of this shape has, each with its shape, in a fixed order. */
export function networkParameterShapes(
  shape: NetworkShape,
): ReadonlyMap<NetworkParameterName, readonly number[]> {
  const shapes = new Map<NetworkParameterName, readonly number[]>()
  const ofMlp = mlpParameterShapes(shape)
  const biases = shape.form !== 'low-rank'
  for (const name of mlpParameterNames) if (biases || name.endsWith('Weight')) shapes.set(name, ofMlp[name])
  if (shape.pools) {
    const ofPool = poolParameterShapes(shape.inputs)
    for (const name of poolParameterNames) shapes.set(name, ofPool[name])
  }
  return shapes
}

/** The initial values; see `startingValues` and `startingPool`. */
export function startingNetwork(
  shape: NetworkShape,
  outputBias: Float32Array,
  random: Random,
): NetworkValues {
  const values = startingValues(shape, outputBias, random)
  return shape.pools ? { ...values, ...startingPool(shape.inputs, random) } : values
}

/** A network inside a backend. Dispose it. */
export class Network {
  readonly shape: NetworkShape
  readonly backend: Backend
  readonly mlp: Mlp
  readonly pool: AttentionPool | null
  readonly #scope: BufferScope
  /** The buffers of `predict`, allocated by its first call. */
  #row: { x: Buffer; pass: MlpPass } | null = null

  /**
   * @param storage what the matrices of its layers are stored as; a pool stays f32, and only f32 can be trained and read
   * @throws UsageError MLP_SHAPE if a parameter does not have the length its shape says
   */
  constructor(backend: Backend, shape: NetworkShape, values: NetworkValues, storage: Storage = 'f32') {
    this.shape = shape
    this.backend = backend
    this.#scope = new BufferScope(backend)
    this.mlp = new Mlp(backend, shape, values, storage)
    try {
      this.pool = shape.pools ? new AttentionPool(backend, shape.inputs, values) : null
    } catch (error) {
      this.mlp.dispose()
      throw error
    }
  }

  /** The parameters it has, in the order of `networkParameterShapes`. */
  get parameters(): ReadonlyMap<NetworkParameterName, Buffer> {
    const all: Partial<Record<NetworkParameterName, Buffer>> = {
      ...this.mlp.parameters,
      ...this.pool?.parameters,
    }
    return new Map([...networkParameterShapes(this.shape).keys()].map((name) => [name, all[name] as Buffer]))
  }

  /** The current parameters. */
  read(): NetworkValues {
    return { ...this.mlp.read(), ...this.pool?.read() }
  }

  /**
   * The outputs [O] for one input: [I], or [T, I] with any T where it pools.
   * @throws UsageError FEATURE_SHAPE
   */
  predict(input: Float32Array): Float32Array {
    const { inputs } = this.shape
    const tokens = input.length / inputs
    if (this.pool ? tokens < 1 || !Number.isInteger(tokens) : tokens !== 1)
      throw new UsageError(
        'FEATURE_SHAPE',
        `input: expected [${this.pool ? 'T, ' : ''}${inputs}], got ${input.length} numbers`,
      )
    this.#row ??= { x: this.#scope.allocate('f32', [1, inputs]), pass: this.mlp.makePass(this.#scope, 1) }
    const { x, pass } = this.#row
    if (this.pool) poolOnce(this.pool, x, input, tokens)
    else this.backend.write(x, input)
    return this.backend.readF32(this.mlp.forward(pass, x))
  }

  dispose(): void {
    this.mlp.dispose()
    this.pool?.dispose()
    this.#scope.dispose()
  }
}

/** Pools one prompt in temporary buffers. */
function poolOnce(pool: AttentionPool, y: Buffer, prompt: Float32Array, tokens: number): void {
  const scope = new BufferScope(pool.backend)
  try {
    const x = scope.upload(prompt, [tokens, pool.width])
    pool.forward(pool.makePass(scope, tokens), y, x, scope.upload(evenShares(tokens), [1, tokens]))
  } finally {
    scope.dispose()
  }
}

/** 1 / T, T times. */
export function evenShares(tokens: number): Float32Array {
  return new Float32Array(tokens).fill(1 / tokens)
}
