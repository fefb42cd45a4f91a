/**
 * A planner of one's own: it sees what the first layer's heads give for the prompt, and answers with a mask of the whole
 * model.
 *
 * This one knows nothing of predictors. It looks how loud each head of layer 0 is at the last token of the prompt, and
 * keeps the heads of the same numbers in every layer, and every second neuron. A budget makes a mask of such scores.
 *
 *   node scripts/node.mjs examples/own_planner.ts
 */
import { makeBudget, maskOverlap, selectMask, ShadowModel, type MaskPlanner } from 'shadowllm'

const opt = await ShadowModel.fromPretrained('embedded')
const { headSize } = opt.config
const { shape } = opt.model

const loudest: MaskPlanner = {
  name: 'loudest',
  by: 'attention',
  choose({ context, tokens }) {
    // context: [T, D]; head h has the channels from h K to (h + 1) K
    const last = context.subarray((tokens - 1) * shape.heads * headSize)
    const loudness = Float32Array.from({ length: shape.heads }, (_, h) =>
      Math.hypot(...last.subarray(h * headSize, (h + 1) * headSize)),
    )
    const heads = Float32Array.from(
      { length: shape.layers * shape.heads },
      (_, i) => loudness[i % shape.heads] ?? 0,
    )
    const neurons = Float32Array.from({ length: shape.layers * shape.neurons }, (_, i) => i % 2)
    return selectMask({ shape, heads, neurons }, makeBudget(0.5, { scope: 'per-layer' }))
  },
}

const prompt = 'The captain looked at the sea and'
let tokens = 0
for await (const _ of opt.generate(prompt, { planner: loudest, maxTokens: 8 })) tokens++
console.log(`${tokens} tokens`)

const mine = await opt.mask(prompt, { planner: loudest })
const predicted = await opt.mask(prompt, { planner: 'shadow', sparsity: 0.5, scope: 'per-layer' })
const { heads } = maskOverlap(mine, predicted)
console.log(`of the heads that the predictor keeps, ${(100 * heads.recall).toFixed(0)} % are kept`)
await opt.dispose()

// prints
// 8 tokens
// of the heads that the predictor keeps, 57 % are kept
