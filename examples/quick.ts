/**
 * Loads the embedded model and writes the same text twice: with all of its units, and with half of them skipped.
 *
 *   node scripts/node.mjs examples/quick.ts
 */
import { ShadowModel } from 'shadowllm'

const opt = await ShadowModel.fromPretrained('embedded', { backend: 'wasm' })
for (const planner of ['dense', 'shadow'] as const) {
  let text = ''
  for await (const step of opt.generate('Once upon a time', { planner, sparsity: 0.5, maxTokens: 12 }))
    text += step.text
  console.log(`${planner}: Once upon a time${text}`)
}
await opt.dispose()

// prints
// dense: Once upon a time, there was a little girl named Lily. She loved to
// shadow: Once upon a time, there was a little girl named Lily. She was very
