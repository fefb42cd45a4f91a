/**
 * A criterion of one's own, used without any change of the library: how large what a unit gives out is.
 *
 * A criterion reads one forward and one backward pass over a text and gives a number per unit; units with low numbers are
 * skipped first. Scores of a few sentences are added up, and the static planner skips by them, whatever the prompt.
 *
 *   node scripts/node.mjs examples/own_criterion.ts
 */
import { makeBudget, ShadowModel, staticPlanner, type UnitScores } from 'shadowllm'
import { criterionByName, type Criterion } from 'shadowllm/criteria'
import { scoreText } from 'shadowllm/predictor'

const opt = await ShadowModel.fromPretrained('embedded')
const { headSize } = opt.config
const { shape } = opt.model

/** Sum of sizes per unit, over all tokens: [U]. @param values [T, U, K] */
function sizes(values: Float32Array, units: number, K: number): number[] {
  const sums = new Array<number>(units).fill(0)
  for (const [i, value] of values.entries()) {
    const unit = Math.floor(i / K) % units
    sums[unit] = (sums[unit] ?? 0) + Math.abs(value)
  }
  return sums
}

const layers = Array.from({ length: shape.layers }, (_, layer) => layer)
const size: Criterion = {
  name: 'size',
  help: 'The sizes of the output, summed.',
  formula: 'head: sum_t |a|_1; neuron: sum_t a, after ReLU',
  cost: { forward: 0, backward: 0 },
  score: ({ trace }) => ({
    shape,
    heads: Float32Array.from(layers.flatMap((l) => sizes(trace.headOut(l), shape.heads, headSize))), // [L, H]
    neurons: Float32Array.from(layers.flatMap((l) => sizes(trace.fc1Act(l), shape.neurons, 1))), // [L, F]
  }),
}

const sentences = [
  'One day a girl went to the sea with her father.',
  'The man told them that the war was over, and nobody believed him.',
  'It was raining when the committee met again.',
]

/** Scores of all sentences together. */
function collect(criterion: Criterion): UnitScores {
  let heads = new Float32Array(shape.layers * shape.heads)
  let neurons = new Float32Array(shape.layers * shape.neurons)
  for (const sentence of sentences) {
    const ids = Int32Array.from(opt.encode(sentence))
    const scores = scoreText(opt.model, ids, ids, criterion)
    heads = scores.heads.map((score, i) => score + (heads[i] ?? 0))
    neurons = scores.neurons.map((score, i) => score + (neurons[i] ?? 0))
  }
  return { shape, heads, neurons }
}

for (const criterion of [size, criterionByName('plainact')]) {
  const planner = staticPlanner(collect(criterion), makeBudget(0.5))
  let text = ''
  for await (const step of opt.generate('Once upon a time', { planner, maxTokens: 12 })) text += step.text
  console.log(`${criterion.name}: Once upon a time${text}`)
}
await opt.dispose()

// prints
// size: Once upon a time, there was a little boy named Tim. Tim loved to
// plainact: Once upon a time, there was a little girl named Tim. He was a
