/**
 * Each step of a program as ops of the catalogue. Every caller runs this function: a whole prompt, one cached token, a trace
 * for the backward pass.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import type { OpName } from '../ops/catalog.ts'
import type { Activation } from '../ops/activations.ts'
import type { Rotary } from '../ops/rotary.ts'
import { scoring, type AttentionStep } from '../spec/program.ts'
import type { Instruction } from './active_layer.ts'
import type { LayerCache } from './layer_cache.ts'
import type { LoadedModel } from './loaded_model.ts'
import { remembered } from '../tensor/records.ts'

/** The state that all steps of one pass share. */
export interface Pass {
  readonly backend: Backend
  /** New tokens. */
  readonly T: number
  /** Tokens already in the cache. */
  readonly past: number
  /** The ids of the new tokens: [T] i32; null behind the first section. */
  readonly tokens: Buffer | null
  /** Their positions plus an offset: [T] i32. */
  positions(offset: number): Buffer
  /** A number: [1]. */
  factor(value: number): Buffer
  /** Cosines and sines of their positions: [T, R]. */
  angles(rotary: Rotary): Buffer
}

/** The values of a section by their places: [T, width] each. */
export type Frame = Buffer[]

/** A pass of a model over T tokens after others. @param backend one that holds layers */
export function passOf(
  model: LoadedModel,
  backend: Backend,
  past: number,
  T: number,
  tokens: Buffer | null = null,
): Pass {
  const known = new Map<Rotary, Buffer>()
  const angles = (rotary: Rotary): Buffer =>
    remembered(known, rotary, () => model.angleRows(backend, past, T, rotary))
  return {
    backend,
    T,
    past,
    tokens,
    angles,
    positions: (offset) => model.positionRows(past, T, offset),
    factor: (value) => model.factor(backend, value),
  }
}

/** Rows [T, width] as parts of so many numbers: [T width / size, size]. */
export function inParts(backend: Backend, x: Buffer, size: number): Buffer {
  return x.shape[1] === size ? x : backend.view(x, [x.length / size, size])
}

/** The op of each gate. A name that is put together in a loop is looked up slowly. */
const gateOps = {
  silu: 'silu_gate',
  relu: 'relu_gate',
  gelu_tanh: 'gelu_tanh_gate',
} as const satisfies Record<Activation, OpName>

/** What products read in place of a value, where input channels are masked. */
export type ReadChannels = (instruction: Instruction, x: Buffer) => Buffer

/**
 * Runs one step: its result is in the frame afterwards. Keys and values enter the cache for the key heads of the chosen heads.
 * @param cacheOf the cache of this section, for so many key heads and a window
 */
export function runStep(
  pass: Pass,
  instruction: Instruction,
  frame: Frame,
  cacheOf: (keyHeads: number, window: number | null) => LayerCache,
  read: ReadChannels | null = null,
): void {
  const { step, rows, bias } = instruction
  const { value, place, of } = step
  const { ops } = pass.backend
  const y = frame[place]
  const x = frame[of[0]]
  // Steps without a weight do not look at it.
  const weight = instruction.weight as Buffer
  switch (value.op) {
    case 'tokens':
      frame[place] = pass.tokens as Buffer
      return
    case 'positions':
      frame[place] = pass.positions(value.offset)
      return
    case 'embedding':
      return ops.embedding(y, weight, x)
    case 'layerNorm':
      return ops.layer_norm(y, x, weight, bias as Buffer, value.epsilon)
    case 'rmsNorm': {
      const { backend } = pass
      const { length: size } = weight
      return ops.rms_norm(inParts(backend, y, size), inParts(backend, x, size), weight, value.epsilon)
    }
    case 'linear':
      return ops.linear(y, read ? read(instruction, x) : x, weight, bias, rows)
    case 'combine':
      return ops.linear_input_major(y, read ? read(instruction, x) : x, weight, bias, rows)
    case 'rotate':
      return ops.rotary(
        inParts(pass.backend, y, value.headSize),
        inParts(pass.backend, x, value.headSize),
        pass.angles(value.rotary),
      )
    case 'attention':
      return attend(pass, instruction, value, frame, cacheOf)
    case 'units':
      if (instruction.factors) ops.mask_units(y, x, instruction.factors)
      return
    case 'add':
      return ops.add(y, x, frame[of[1]])
    case 'scale': {
      // One unit of all the numbers of a row.
      return ops.mask_units(y, x, pass.factor(value.factor))
    }
    case 'cap':
      return ops.soft_cap(y, x, value.cap)
    case 'relu':
      return ops.relu(y, x)
    case 'gate':
      return ops[gateOps[value.activation]](y, x, frame[of[1]])
  }
}

/** Attention over a cache, of as many tokens at once as it has room for. */
function attend(
  { backend, T, past }: Pass,
  { step: { place, of }, rows, keyHeads, keyHeadOf }: Instruction,
  value: AttentionStep,
  frame: Frame,
  cacheOf: (keyHeads: number, window: number | null) => LayerCache,
): void {
  const { ops } = backend
  const [y, query, key, added] = [place, ...of].map((at) => frame[at])
  const cache = cacheOf(key.shape[1] / value.headSize, value.window ?? null)
  for (let t = 0; t < T;) {
    const { row, count } = cache.room(past + t, T - t)
    const part = (x: Buffer): Buffer =>
      count === T ? x : backend.view(x, [count, x.shape[1]], t * x.shape[1])
    ops.cache_append(cache.key, part(key), keyHeads, row)
    ops.cache_append(cache.value, part(added), keyHeads, row)
    const { scale, cap, window } = scoring(value, row + count)
    ops.attention(
      part(y),
      part(query),
      cache.key,
      cache.value,
      rows,
      keyHeadOf,
      scale,
      cap,
      row + count,
      window,
    )
    t += count
  }
}
