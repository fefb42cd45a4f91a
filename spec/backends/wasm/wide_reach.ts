/**
 * Tries every wide kernel and then calls it at sizes of models, of few tokens and of many. A flag of V8 prints what is compiled
 * (wide_trial.spec.ts).
 *
 *   node --trace-wasm-compilation-times wide_reach.ts PLAIN WIDE
 */
import { readFileSync } from 'node:fs'
import { makeMemory } from '../../../src/backends/wasm/engine.ts'
import { instantiate } from '../../../src/backends/wasm/instance.ts'
import { placeCall } from '../../../src/backends/wasm/wide_cases.ts'
import { WideTrial } from '../../../src/backends/wasm/wide_trial.ts'
import { kernelNames, kernels } from '../../../src/ops/catalog.ts'

const [plain, wide] = process.argv.slice(2).map((file) => new WebAssembly.Module(readFileSync(file)))
const names = kernelNames.filter((name) => /^(linear|attention)/.test(name))
// Each by itself: how fast the first product is here is not judged.
for (const name of names) new WideTrial(plain, wide, false).isUsed(name)

const memory = makeMemory(1)
memory.grow(400)
const called = instantiate(wide, memory, 0)
for (const name of names)
  for (const tokens of [1, 2, 3, 4, 5, 8, 13, 24, 128])
    for (const head of [37, 64, 80])
      for (const isWhole of [false, true]) {
        const { args } = placeCall(
          kernels[name],
          { tokens, long: 192, head, isWhole },
          memory,
          called.scratchSize,
        )
        called.kernels[name](...args)
      }
