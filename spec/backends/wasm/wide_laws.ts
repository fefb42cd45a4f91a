/**
 * Compares the kernels of a module, which a file holds, with the definitions: products and attention at the edges of blocks
 * and tiles, then every kernel at random sizes. A program of its own, because whether an engine joins vectors is a flag of
 * the process (wide.spec.ts).
 *
 *   node wide_laws.ts FILE SEED TIMES
 */
import { readFileSync } from 'node:fs'
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import { kernels, type KernelName } from '../../../src/ops/catalog.ts'
import { Data, type DataKind } from '../../../src/testing/seeded_data.ts'
import { fitSizes, lettersOf, makeValues, variantsOf } from '../../../src/testing/op_case.ts'
import { checkAgreement } from '../../../src/verify/ops/agreement.ts'
import {
  atAnEdge,
  attentions,
  largestInt4Sums,
  manyGradients,
  manyQueries,
  products,
  tilesInTurn,
  type Product,
} from './block_laws.ts'

const [file, seed, times] = process.argv.slice(2)
const data = new Data(Number(seed))
const backend = new WasmBackend(new WebAssembly.Module(readFileSync(file)))
const kinds: readonly DataKind[] = ['plain', 'steep', 'ties', 'wild', 'edges', 'broken']

/** One kernel at sizes that cross the edges of tiles, or at none. */
function atRandomSizes(name: KernelName): void {
  const row = kernels[name]
  const most = (letter: string): number => (data.chance(0.1) ? 2 : letter === 'T' ? 20 : 71)
  const wanted = lettersOf(row).map((letter) => [letter, data.below(most(letter))] as const)
  const { absent, aliased } = data.pick(variantsOf(row))
  const sizes = fitSizes(row, Object.fromEntries(wanted))
  checkAgreement(backend, name, makeValues(name, sizes, data, data.pick(kinds), absent), {
    offset: data.below(5),
    aliased,
  })
}

largestInt4Sums(backend)
tilesInTurn(backend, Number(seed))
for (let time = 0; time < Number(times); time++) {
  for (const name of Object.keys(products) as Product[])
    atAnEdge(backend, name, data.pick(['T', 'O', 'I']), data.below(2 ** 30))
  for (const name of attentions) manyQueries(backend, name, data.below(2 ** 30))
  manyGradients(backend, data.below(2 ** 30))
  for (let k = 0; k < 5; k++) for (const name of Object.keys(kernels) as KernelName[]) atRandomSizes(name)
}
backend.dispose()
