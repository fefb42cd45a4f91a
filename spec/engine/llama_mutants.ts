/**
 * Bugs that only a model of the Llama family can have: groups, rotations, norms, gates. mutants.spec.ts plants them.
 */
import type { Buffer } from '../../src/backends/backend.ts'
import { valuesOf } from '../../src/backends/calls.ts'
import type { engineLaws } from '../../src/verify/model/engine_laws.ts'
import type { gradientLaws } from '../../src/verify/model/gradient_laws.ts'
import { wrongLoad, wrongOps, type Mutants } from './plant.ts'

type LawName = keyof typeof engineLaws | keyof typeof gradientLaws

/** The mutants of this page. */
export const llamaMutants: Mutants<LawName> = {
  'heads read key heads in turn: h mod G, and not by groups of neighbours': {
    plant: wrongOps((right, backend) => ({
      attention(y, query, key, value, heads, keyHeads, scale, ...rest) {
        const [G, , K] = valuesOf(key).shape
        const H = query.shape[1] / K
        const turns = backend.upload(Int32Array.from({ length: H }, (_, h) => h % G))
        right.attention(y, query, key, value, heads, keyHeads ?? turns, scale, ...rest)
        backend.free(turns)
      },
    })),
    breaks: ['engineLogits', 'engineGradients'],
  },
  'packed heads read key heads by their new places, whatever their groups were': {
    plant: wrongOps((right) => ({
      attention: (y, query, key, value, heads, _keyHeads, scale, ...rest) =>
        right.attention(y, query, key, value, heads, null, scale, ...rest),
    })),
    breaks: ['engineLogits'],
  },
  'the last key head that is needed is not written': {
    plant: wrongOps((right, backend) => ({
      cache_append(cache, x, heads, P) {
        if (!heads || heads.length === 0) return right.cache_append(cache, x, heads, P)
        const fewer = backend.upload(backend.readI32(heads).slice(0, -1))
        right.cache_append(cache, x, fewer, P)
        backend.free(fewer)
      },
    })),
    breaks: ['engineLogits'],
  },
  'pairs are neighbours, as in GGUF, and not halves': {
    plant: wrongOps((right, backend) => {
      // Neighbours become halves, are turned, and become neighbours again.
      const reordered = (x: Buffer, K: number, place: (i: number) => number): Buffer => {
        const values = backend.readF32(x)
        return backend.upload(
          values.map((_, at) => values[at - (at % K) + place(at % K)]),
          x.shape,
        )
      }
      return {
        rotary(y, x, table) {
          const K = table.shape[1]
          const halves = reordered(x, K, (i) => (i < K / 2 ? 2 * i : 2 * i - K + 1))
          right.rotary(halves, halves, table)
          const pairs = reordered(halves, K, (i) => (i % 2) * (K / 2) + Math.floor(i / 2))
          backend.write(y, backend.readF32(pairs))
          backend.free(halves)
          backend.free(pairs)
        },
      }
    }),
    breaks: ['engineLogits', 'engineGradients'],
  },
  'positions start at 0 again with every feed': {
    plant: wrongLoad((load) => async (...args) => {
      const model = await load(...args)
      const angleRows = model.angleRows.bind(model)
      model.angleRows = (backend, _past, T, rotary) => angleRows(backend, 0, T, rotary)
      return model
    }),
    breaks: ['engineLogits'],
  },
  'keys are not rotated': {
    plant: wrongOps((right) => {
      let calls = 0
      return {
        rotary(y, x, table) {
          if (calls++ % 2 === 0) right.rotary(y, x, table)
        },
      }
    }),
    breaks: ['engineLogits', 'engineGradients'],
  },
  'the gate and what it lets through are exchanged': {
    plant: wrongOps((right, backend) => ({
      silu_gate(y, gate, up) {
        const first = backend.upload(backend.readF32(gate), gate.shape)
        right.silu_gate(y, up, first)
        backend.free(first)
      },
    })),
    breaks: ['engineLogits', 'engineGradients'],
  },
  'the mask of neurons is applied to the gate, before silu': {
    plant: wrongOps((right, backend) => {
      let gate: Float32Array | null = null
      let last: readonly [y: Buffer, up: Buffer] | null = null
      return {
        silu_gate(y, gateBuffer, up) {
          gate = backend.readF32(gateBuffer)
          right.silu_gate(y, gateBuffer, up)
          last = [y, up]
        },
        mask_units(y, x, factors) {
          const isGated = last !== null && last[0] === x && gate !== null
          if (!last || !gate || !isGated) return right.mask_units(y, x, factors)
          const mask = backend.readF32(factors)
          const masked = backend.upload(
            gate.map((z, i) => z * mask[i % mask.length]),
            x.shape,
          )
          right.silu_gate(y, masked, last[1])
          backend.free(masked)
        },
      }
    }),
    breaks: ['engineLogits'],
  },
  'the constant of norms is ten times too large': {
    plant: wrongOps((right) => ({
      rms_norm: (y, x, weight, epsilon) => right.rms_norm(y, x, weight, 10 * epsilon),
    })),
    breaks: ['engineLogits', 'engineGradients'],
  },
  'a head of its own is ignored for the token table': {
    plant: wrongLoad((load) => async (...args) => {
      const model = await load(...args)
      const { weights } = model
      const table = weights.matrices.get('model.embed_tokens.weight')
      const matrices = new Map(weights.matrices)
      if (table && matrices.has('lm_head.weight')) matrices.set('lm_head.weight', table)
      Object.defineProperty(model, 'weights', { value: { ...weights, matrices } })
      return model
    }),
    breaks: ['engineLogits', 'engineGradients'],
  },
  'of a group only the first head gives its key head a gradient': {
    plant: wrongOps((right, backend) => ({
      attention_backward(query, key, value, yGrad, ...rest) {
        const [[, contextWidth], [, keyWidth]] = [query.shape, key.shape]
        const [keys] = rest.slice(1) as Buffer[]
        const [G, , K] = keys.shape
        const size = contextWidth / K / (keyWidth / K)
        const first = backend.readF32(yGrad).map((g, i) => {
          const h = Math.floor((i % contextWidth) / K)
          return G < contextWidth / K && h % size !== 0 ? 0 : g
        })
        const part = backend.upload(first, yGrad.shape)
        right.attention_backward(query, key, value, part, ...rest)
        backend.free(part)
      },
    })),
    breaks: ['engineGradients', 'engineLearning', 'parameters'],
  },
  'gradients of queries and keys are not turned back': {
    plant: wrongOps((right, backend) => ({
      rotary_backward(xGrad, yGrad) {
        if (xGrad !== yGrad) backend.write(xGrad, backend.readF32(yGrad))
      },
      rotary: (...args) => right.rotary(...args),
    })),
    breaks: ['engineGradients', 'parameters'],
  },
  'no gradient passes through what a gate lets through': {
    plant: wrongOps((right, backend) => ({
      silu_gate_backward(gateGrad, upGrad, ...rest) {
        right.silu_gate_backward(gateGrad, upGrad, ...rest)
        backend.zero(upGrad)
      },
    })),
    breaks: ['engineGradients', 'engineLearning', 'parameters'],
  },
}
