/**
 * Each size that a definition limits, at its limit: every backend still agrees with the definition, and one size more is refused.
 *
 * Tests the limits of src/ops against src/backends, assembly and rust. A limit protects the memory that a kernel works in and
 * the steps that activations are rounded to, so a kernel runs at the limit inside a guarded scratch, and the steps are counted
 * there.
 */
import { describe, expect, test } from 'vitest'
import { PAGE, startAlone } from '../../src/backends/wasm/engine.ts'
import { instantiate } from '../../src/backends/wasm/instance.ts'
import { kernelFiles } from '../../src/backends/kernel_files.ts'
import { WasmBackend } from '../../src/backends/wasm/wasm_backend.ts'
import { kernelNames, kernels, type KernelName } from '../../src/ops/catalog.ts'
import { ANY_SIZE, type Numbers, type Sizes } from '../../src/ops/op.ts'
import { levelsFor } from '../../src/ops/quantized_steps.ts'
import { checkAgreement } from '../../src/verify/ops/agreement.ts'
import { evaluate } from '../../src/testing/op_agreement.ts'
import { callRaw } from '../../src/testing/op_call.ts'
import { Data, type DataKind } from '../../src/testing/seeded_data.ts'
import { fitSizes, lettersOf, makeValues, variantsOf } from '../../src/testing/op_case.ts'
import { isQuick } from '../harness/tier.ts'

/** A size at its limit. */
interface Limited {
  readonly name: KernelName
  readonly letter: string
  readonly most: number
}

const limited: readonly Limited[] = kernelNames.flatMap((name) =>
  kernels[name].params.flatMap((param) =>
    param.kind === 'size' && param.most < ANY_SIZE ? [{ name, letter: param.name, most: param.most }] : [],
  ),
)

/** A case with a size at this place, nothing that limits it, and all others of this size where they may be. */
function sizesAt({ name, letter }: Limited, size: number, others: number): Sizes {
  const row = kernels[name]
  const whole = row.params.flatMap((param) =>
    param.kind === 'size' && param.limits === letter ? [param.name] : [],
  )
  const sizeOf = (one: string): number => (one === letter || whole.includes(one) ? size : others)
  return fitSizes(row, Object.fromEntries(lettersOf(row).map((one) => [one, sizeOf(one)])))
}

/** Work that is done for a case at most. */
const MOST_FLOPS = isQuick ? 2e7 : 2e9

/** The gradient at the longest text takes the definition ten seconds. */
const isLong = (name: KernelName): boolean => name === 'attention_backward'

/** The numbers of the cases: equal ones make the largest sums, which the gradient, rounded to no steps, does not limit. */
function kindsOf(name: KernelName): readonly DataKind[] {
  if (isQuick) return ['equal']
  return isLong(name) ? ['plain'] : ['equal', 'plain']
}

/** Bytes before and after the scratch that must be untouched. */
const GUARD = 2 ** 22
const FILL = 0x5a

/** A backend whose scratch stands between guards. */
function guarded(module: WebAssembly.Module): { backend: WasmBackend; expectUntouched: () => void } {
  const alone = startAlone(module)
  const { memory } = alone
  memory.grow((3 * GUARD) / PAGE)
  const { kernels: own, scratchSize } = instantiate(module, memory, GUARD)
  const end = GUARD + scratchSize
  const guards = (): Uint8Array[] => [
    new Uint8Array(memory.buffer, 0, GUARD),
    new Uint8Array(memory.buffer, end, GUARD),
  ]
  for (const guard of guards()) guard.fill(FILL)
  const backend = new WasmBackend(module, () => ({ ...alone, kernels: own, heapBase: end + GUARD }))
  const expectUntouched = (): void => {
    for (const guard of guards()) expect(guard.findIndex((byte) => byte !== FILL)).toBe(-1)
  }
  return { backend, expectUntouched }
}

test('there are sizes with limits', () => expect(limited.length).toBeGreaterThan(5))

/** What definitions give, by case: both builds are compared with it, and the longest texts take seconds. */
const definitions = new Map<string, Record<string, Numbers>>()

const builds = isQuick ? (['wasm'] as const) : (['wasm', 'wasm-rust'] as const)

describe.each(builds)('%s', async (build) => {
  const { backend, expectUntouched } = guarded(await WebAssembly.compile(await kernelFiles[build]()))

  test.each(limited)('$name agrees with its definition where $letter is $most', (one) => {
    const { name, letter, most } = one
    // Fewer steps than these would be coarser than the weights. A limit that is far too high would also make kernels run on.
    if (name.endsWith('_i8') && letter === 'I') expect(levelsFor(most)).toBeGreaterThanOrEqual(2 * 127)
    const data = new Data(1)
    let cases = 0
    // One token, and so many that kernels take their tiles.
    for (const others of isQuick ? [1] : [1, 9])
      for (const kind of kindsOf(name)) {
        const sizes = sizesAt(one, most, others)
        if (kernels[name].flops(sizes) > MOST_FLOPS) continue
        const { absent } = variantsOf(kernels[name]).find(({ absent }) => absent.size > 0) ?? {
          absent: new Set(),
        }
        const values = makeValues(name, sizes, data, kind, absent as ReadonlySet<string>)
        const key = `${name} ${letter} ${others} ${kind}`
        const expected = definitions.get(key) ?? evaluate(name, values)
        definitions.set(key, expected)
        checkAgreement(backend, name, values, { offset: 0, aliased: false }, expected)
        cases++
      }
    expectUntouched()
    // The gradient of nine heads at the longest text would take minutes.
    if (!isQuick) expect(cases).toBe(isLong(name) ? 1 : 4)
  })

  test.each(limited)('$name refuses $letter past $most', (one) => {
    const sizes = sizesAt(one, one.most + 1, 1)
    const values = makeValues(one.name, sizes, new Data(1), 'plain')
    expect(() => callRaw(backend, one.name, values)).toThrow(`${one.most}`)
  })
})
