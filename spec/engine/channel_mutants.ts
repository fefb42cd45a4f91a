/**
 * Bugs of a model whose input channels are masked token by token.
 */
import type { Buffer } from '../../src/backends/backend.ts'
import { valuesOf } from '../../src/backends/calls.ts'
import { quantizeSteps } from '../../src/ops/quantized_steps.ts'
import { wrongBegin, wrongOps, wrongPlannerBy, type Mutants } from './plant.ts'

/** The mutants. */
export const channelMutants: Mutants<'engineChannels'> = {
  'masked input channels are read': {
    plant: wrongPlannerBy('channels', ({ choose }) => ({ choose: (...shown) => choose(...shown).fill(1) })),
    breaks: ['engineChannels'],
  },
  'every token has the input channels that the first one chose': {
    plant: wrongPlannerBy('channels', ({ choose }) => {
      const first = new Map<string, Float32Array>()
      return {
        choose(layer, site, ...shown) {
          const mask = choose(layer, site, ...shown)
          const kept = first.get(`${layer} ${site}`) ?? mask.slice()
          first.set(`${layer} ${site}`, kept)
          return kept
        },
      }
    }),
    breaks: ['engineChannels'],
  },
  'input channels of the prompt are masked after its first token': {
    plant: wrongBegin((right, { config: { vocabulary: V } }) => (options) => {
      const sequence = right(options)
      const feed = sequence.feed.bind(sequence)
      sequence.feed = (tokens, wanted) => {
        if (sequence.length > 0 || tokens.length === 1 || wanted !== 'all') return feed(tokens, wanted)
        const logits = new Float32Array(tokens.length * V)
        logits.set(feed(tokens.slice(0, 1), 'all'))
        logits.set(feed(tokens.slice(1), 'all'), V)
        return logits
      }
      return sequence
    }),
    breaks: ['engineChannels'],
  },
  'activations are rounded for int8 before their input channels are masked': {
    plant: wrongOps((right, backend) => {
      const rounded = new Map<Buffer, Float32Array>()
      return {
        mask_units(y, x, mask) {
          const values = backend.readF32(x)
          const q = new Int16Array(values.length)
          const step = quantizeSteps(q, values)
          const factors = backend.readF32(mask)
          right.mask_units(y, x, mask)
          if (values.length === factors.length)
            rounded.set(
              y,
              values.map((_, i) => step * q[i] * factors[i]),
            )
        },
        linear(y, x, weight, ...rest) {
          const values = rounded.get(x)
          if (values && valuesOf(weight).dtype === 'i8') backend.write(x, values)
          right.linear(y, x, weight, ...rest)
        },
      }
    }),
    breaks: ['engineChannels'],
  },
  'what is masked for the matrices is masked in the stream': {
    plant: wrongOps((right) => ({
      mask_units(y, x, mask) {
        if (y !== x) right.mask_units(x, x, mask)
        right.mask_units(y, x, mask)
      },
    })),
    breaks: ['engineChannels'],
  },
}
