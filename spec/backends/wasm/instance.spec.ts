/**
 * Several instances of the kernels may work over one memory, each in a scratch of its own: an instance writes nothing
 * below where its scratch begins and nothing past its end, whatever it computes.
 *
 * Tests src/backends/wasm/engine.ts.
 */
import { expect, test } from 'vitest'
import { PAGE, startAlone } from '../../../src/backends/wasm/engine.ts'
import { kernelFiles } from '../../../src/backends/kernel_files.ts'
import { instantiate } from '../../../src/backends/wasm/instance.ts'
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import { kernelNames, kernels as definitions } from '../../../src/ops/catalog.ts'
import { Data } from '../../../src/testing/seeded_data.ts'
import { checkAgreement } from '../../../src/verify/ops/agreement.ts'
import { fitSizes, lettersOf, makeValues } from '../../../src/testing/op_case.ts'
import { runSeed } from '../../harness/seed.ts'
import { compileKernels } from './compile.ts'

/** Bytes in front of the scratch that nobody may touch: more than a scratch, so that no piece of it fits in twice. */
const GUARD = 2 ** 22
const FILL = 0x5a

/** Every op, with as many tokens and terms as make its kernel take its scratch; then looks at what must be untouched. */
function staysInItsScratch(module: WebAssembly.Module): void {
  const alone = startAlone(module)
  const { memory } = alone
  memory.grow((2 * GUARD) / PAGE)
  const { kernels, scratchSize } = instantiate(module, memory, GUARD)
  const end = GUARD + scratchSize
  const guards = (): Uint8Array[] => [
    new Uint8Array(memory.buffer, 0, GUARD),
    new Uint8Array(memory.buffer, end, 64),
  ]
  for (const guard of guards()) guard.fill(FILL)
  const backend = new WasmBackend(module, () => ({ ...alone, kernels, heapBase: end + 64 }))
  const data = new Data(runSeed())
  for (const name of kernelNames) {
    const row = definitions[name]
    const sizes = fitSizes(row, Object.fromEntries(lettersOf(row).map((letter) => [letter, 19])))
    checkAgreement(backend, name, makeValues(name, sizes, data), { offset: 0, aliased: false })
  }
  for (const guard of guards()) expect(guard.findIndex((byte) => byte !== FILL)).toBe(-1)
}

test.each(['wasm', 'wasm-rust'] as const)(
  'an instance of %s works in its own scratch and nowhere else',
  async (build) => staysInItsScratch(await WebAssembly.compile(await kernelFiles[build]())),
)

test.each(['PACKED_RIGHT', 'WEIGHTS', 'BYTE_COUNTS'])(
  'a mutant with %s where another thread has them: killed',
  async (piece) => {
    const plant = { file: 'scratch.ts', from: `return start + ${piece}`, to: `return ${piece}` }
    const mutant = await compileKernels(plant, ['--optimizeLevel', '0'])
    expect(() => staysInItsScratch(new WebAssembly.Module(mutant))).toThrow('expected')
  },
)
