/**
 * Ops as files: they say what the definitions say, an answer that is right passes, and one that is wrong is told where and,
 * where it can be known, why.
 *
 * Tests src/parity/op_files.ts, src/parity/op_hints.ts, src/parity/worst.ts, src/testing/op_agreement.ts and
 * src/testing/op_case.ts.
 */
import fc from 'fast-check'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkOps, type OpCheck } from '../../src/parity/check_ops.ts'
import type { Owed } from '../../src/testing/op_agreement.ts'
import { evaluate } from '../../src/testing/op_agreement.ts'
import { callRaw } from '../../src/testing/op_call.ts'
import { opFile, opFileName, openOpFile, storedAs, type StoredCase } from '../../src/parity/op_files.ts'
import { casesOf, defaultCallsOf } from '../../src/parity/op_suite.ts'
import { encodeSafetensors, writeSafetensors, type TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { createBackend } from '../../src/backends/select.ts'
import { kernelNames, kernels, type KernelName } from '../../src/ops/catalog.ts'
import type { Numbers, Kernel } from '../../src/ops/op.ts'
import { MissingError } from '../../src/tensor/errors.ts'
import { arraysOf, shapeOf } from '../../src/testing/op_case.ts'
import type { Definition } from '../harness/mutate.ts'
import { law } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const folder = temporaryFolder()

const options = { seed: 0, small: true }
const expected = join(folder, 'expected')
mkdirSync(expected)
for (const op of kernelNames) {
  const { tensors, metadata } = opFile(op, options)
  await writeSafetensors(join(expected, opFileName(op)), tensors, metadata)
}

let folders = 0

function newFolder(): string {
  const path = join(folder, String(folders++))
  mkdirSync(path)
  return path
}

type Answer = (one: StoredCase) => Readonly<Record<string, Numbers>>

/** Answers an op's cases as a foreign backend would, into a folder. */
async function answerInto(actual: string, op: KernelName, answer: Answer): Promise<void> {
  const cases = await openOpFile(join(expected, opFileName(op)), op)
  const tensors = new Map<string, TensorToWrite>()
  for (let index = 0; index < cases.count; index++) {
    const one = await cases.read(index)
    for (const [name, data] of Object.entries(answer(one))) {
      const param = arraysOf(kernels[op]).find((array) => array.name === name)
      const shape = param ? shapeOf(param, one.sizes) : []
      tensors.set(`${index}.out.${name}`, { dtype: storedAs[param?.dtype ?? 'f32'], shape, data })
    }
  }
  await cases.close()
  await writeSafetensors(join(actual, opFileName(op)), tensors)
}

/** What is found of an answer to one op. */
async function verdictOn(op: KernelName, answer: Answer, owed: Owed = 'row'): Promise<OpCheck> {
  const actual = newFolder()
  await answerInto(actual, op, answer)
  const { ops } = await checkOps(expected, actual, { owed })
  expect(ops.map((found) => found.op)).toEqual([op])
  return ops[0]
}

/** The definition with something changed. */
function changed<Name extends KernelName>(
  op: Name,
  change: (definition: Definition<Name>) => Definition<Name>,
): Answer {
  const kernel = change(
    kernels[op].reference as unknown as Definition<Name>,
  ) as unknown as Kernel['reference']
  return ({ values }) => evaluate(op, values, kernel)
}

test('a tolerance does not loosen whole numbers: wrong indices and bit patterns fail at any', async () => {
  const owed: Owed = { share: 0.5 }
  const oneHigher: Answer = ({ expected: outputs }) =>
    Object.fromEntries(Object.entries(outputs).map(([name, numbers]) => [name, numbers.map((x) => x + 1)]))
  expect((await verdictOn('top_k', oneHigher, owed)).passed).toBe(false)
  expect((await verdictOn('narrow_bf16', oneHigher, owed)).passed).toBe(false)
})

describe('calls with the sizes of OPT-125m', () => {
  const [oneToken, prompt] = [1, 9]

  test('exist for every op: one token and a prompt, with all optional arrays and with none', () => {
    for (const op of kernelNames) {
      const optional = arraysOf(kernels[op]).filter((param) => param.optional)
      const calls = defaultCallsOf(op)
      for (const tokens of [oneToken, prompt]) {
        const those = kernels[op].params.some(({ name }) => name === 'T')
          ? calls.filter(({ sizes }) => sizes.T === tokens)
          : calls
        const absent = those.map(({ variant }) => variant.absent.size)
        expect(absent, `${op}, ${tokens} tokens`).toContain(0)
        if (optional.length > 0) expect(absent, `${op}, ${tokens} tokens`).toContain(optional.length)
      }
      expect(calls.length).toBe(optional.length > 0 ? 4 : 2)
    }
  })

  test('have the sizes of the model, and lists of half of the units', () => {
    const sizes = defaultCallsOf('linear').map((call) => call.sizes)
    expect(sizes).toEqual([
      { T: 1, O: 3072, I: 768, R: 1536 },
      { T: 1, O: 3072, I: 768, R: 1536 },
      { T: 9, O: 768, I: 768, R: 384 },
      { T: 9, O: 768, I: 768, R: 384 },
    ])
    expect(defaultCallsOf('attention').map(({ sizes: { T, S, C, H, K } }) => [T, S, C, H, K])).toEqual([
      [1, 300, 320, 12, 64],
      [1, 300, 320, 12, 64],
      [9, 9, 16, 12, 64],
      [9, 9, 16, 12, 64],
    ])
  })
})

describe('the files', () => {
  test('hold every array, size and scalar of every case, and the results of the definition', async () => {
    for (const op of kernelNames) {
      const stored = await openOpFile(join(expected, opFileName(op)), op)
      const cases = [...casesOf(op, options)]
      expect(stored.count).toBe(cases.length)
      for (const { index, sizes, values } of cases) {
        const read = await stored.read(index)
        expect(read).toEqual({ index, sizes, values, expected: evaluate(op, values) })
      }
      await stored.close()
    }
  })

  test('are the same bytes for the same seed', () => {
    const bytes = (seed: number): Uint8Array => {
      const { tensors, metadata } = opFile('attention', { seed, small: true })
      return encodeSafetensors(tensors, metadata)
    }
    expect(bytes(0)).toEqual(new Uint8Array(readFileSync(join(expected, opFileName('attention')))))
    expect(bytes(1)).not.toEqual(bytes(0))
  })
})

describe('a set of results', () => {
  test('of the definitions passes, and so does that of every op at once', async () => {
    const actual = newFolder()
    for (const op of kernelNames) await answerInto(actual, op, ({ values }) => evaluate(op, values))
    const report = await checkOps(expected, actual, { owed: 'row' })
    expect(report).toMatchObject({ passed: true, onlyExpected: [], onlyActual: [] })
    expect(report.ops.map(({ op }) => op)).toEqual(kernelNames)
    expect(report.ops.every(({ differing, worst, hint }) => differing === 0 && !worst && !hint)).toBe(true)
  })

  test('for some ops passes, and the others are listed', async () => {
    const actual = newFolder()
    await answerInto(actual, 'add', ({ values }) => evaluate('add', values))
    await writeSafetensors(join(actual, 'other.safetensors'), new Map())
    const report = await checkOps(expected, actual, { owed: 'row' })
    expect(report.passed).toBe(true)
    expect(report.onlyExpected).toHaveLength(kernelNames.length - 1)
    expect(report.onlyActual).toEqual(['other.safetensors'])
  })

  test('for no requested op is refused', async () => {
    await expect(checkOps(expected, newFolder(), { owed: 'row' })).rejects.toMatchObject({
      code: 'PARITY_NOTHING',
    })
    await expect(checkOps(expected, join(folder, 'none'), { owed: 'row' })).rejects.toMatchObject({
      code: 'FILE_MISSING',
    })
  })

  test('whose cases have a size that does not follow from another is refused', async () => {
    const { tensors, metadata } = opFile('linear_i4', options)
    const path = join(newFolder(), opFileName('linear_i4'))
    await writeSafetensors(path, tensors, { ...metadata, '0.G': '7' })
    const cases = await openOpFile(path, 'linear_i4')
    await expect(cases.read(0)).rejects.toMatchObject({ code: 'PARITY_OP_FILE' })
    await expect(cases.read(1)).resolves.toMatchObject({ index: 1 })
    await cases.close()
  })

  test('that is incomplete fails, naming the missing arrays', async () => {
    const forgetful = await verdictOn('linear', (one) => (one.index === 4 ? {} : one.expected))
    expect(forgetful.passed).toBe(false)
    expect(forgetful.mismatch).toMatch(/linear\.safetensors 4\.out\.y: expected F32 \[\d+, \d+\], got none$/)
  })

  test('of another type fails, naming both types', async () => {
    const actual = newFolder()
    const tensors = new Map<string, TensorToWrite>([
      ['0.out.y', { dtype: 'F64', shape: [2], data: new Float64Array(2) }],
    ])
    await writeSafetensors(join(actual, opFileName('relu')), tensors)
    const { ops } = await checkOps(expected, actual, { owed: 'row' })
    expect(ops[0]).toMatchObject({
      passed: false,
      mismatch: expect.stringMatching(/F32 \[\d+\], got F64 \[2\]/),
    })
  })

  test('from the relaxed build needs --relaxed, which the message says', async (context) => {
    const relaxed = await createBackend('wasm-relaxed').catch((error: unknown) => {
      if (error instanceof MissingError) return null
      throw error
    })
    if (relaxed === null) return context.skip('no relaxed SIMD here')
    const answer: Answer = ({ values }) => callRaw(relaxed, 'linear', values)
    const strict = await verdictOn('linear', answer)
    const told = strict.passed ? null : 'every error is within what unrounded products allow (--relaxed)'
    expect(strict).toMatchObject({ passed: strict.differing === 0, hint: told })
    expect(await verdictOn('linear', answer, 'relaxed')).toMatchObject({ passed: true, hint: null })
    relaxed.dispose()
  })

  law(
    'with any one wrong number fails, names it, and states no wrong cause',
    {
      which: fc.nat(),
      where: fc.nat(),
      op: fc.constantFrom('linear', 'attention', 'cache_append', 'top_k', 'layer_norm'),
    },
    async ({ which, where, op }) => {
      let spoilt = { index: -1, output: '', place: -1 }
      const found = await verdictOn(op as KernelName, ({ index, expected }) => {
        const outputs = Object.fromEntries(Object.entries(expected).map(([k, v]) => [k, v.slice()]))
        const [output, numbers] = Object.entries(outputs)[0]
        if (index < which % 20 || spoilt.index >= 0 || numbers.length < 2) return outputs
        spoilt = { index, output, place: where % numbers.length }
        // Far off, and by a number that no other answer is off by.
        const x = numbers[spoilt.place]
        numbers[spoilt.place] = !Number.isFinite(x) ? 7.654 : x > 0 ? -x - 1.2345 : 1.2345 - x
        return outputs
      })
      expect(found).toMatchObject({ passed: false, differing: 1, failedCases: [spoilt.index] })
      expect(found.worst).toMatchObject({ case: spoilt.index, output: spoilt.output, index: spoilt.place })
      expect(found.hint ?? '').not.toMatch(/as if/)
    },
    { runs: casesAtTier(6, 20) },
  )
})

describe('a common mistake is named', () => {
  const mistake = <Name extends KernelName>(
    op: Name,
    change: (definition: Definition<Name>) => Definition<Name>,
    hint: RegExp,
  ): [KernelName, Answer, RegExp] => [op, changed(op, change), hint]
  test.each<[KernelName, Answer, RegExp]>([
    mistake(
      'linear',
      (linear) =>
        (y, x, weight, _bias, ...rest) =>
          linear(y, x, weight, null, ...rest),
      /as if there were no bias$/,
    ),
    mistake(
      'linear',
      (linear) =>
        (y, x, weight, bias, rows, T, O, ...rest) =>
          // The last row has none behind it: what comes of that is anything.
          linear(y, x, weight, bias, rows && rows.map((row) => row + 1), T, O, ...rest),
      /as if every index in rows were one higher$/,
    ),
    mistake(
      'embedding',
      (embedding) => (y, table, ids, T, V, D) => {
        const wrong = ids.map((id) => Math.max(0, id - 1))
        embedding(y, table, wrong, T, V, D)
      },
      /as if every index in ids were one lower$/,
    ),
    mistake(
      'attention',
      (attention) =>
        (y, q, k, v, _heads, ...rest) =>
          attention(y, q, k, v, null, ...rest),
      /as if heads were not there$/,
    ),
    mistake(
      'attention',
      (attention) =>
        (y, q, k, v, heads, keyHeads, _scale, ...rest) =>
          attention(y, q, k, v, heads, keyHeads, 1, ...rest),
      /as if scale were 1$/,
    ),
    mistake(
      'layer_norm',
      (norm) =>
        (y, x, weight, bias, _epsilon, ...rest) =>
          norm(y, x, weight, bias, 1e-12, ...rest),
      /as if epsilon were 1e-12$/,
    ),
    mistake(
      'cache_append',
      (append) =>
        (cache, ...rest) =>
          append(cache.fill(0), ...rest),
      /as if what cache held before were zeros$/,
    ),
    mistake(
      'transpose',
      () => (y, x) => y.set(x),
      /as if y had the layout \[O, I\]$|as if x were stored column by column$/,
    ),
    mistake(
      'linear_input_major',
      (linear) =>
        (y, x, weight, bias, inputs, ...rest) =>
          linear(y, x, weight, bias, inputs?.toSorted() ?? null, ...rest),
      /as if inputs were sorted$/,
    ),
    ['relu', ({ expected }) => ({ y: expected.y.slice().fill(0) }), /as if y were all zeros$/],
    mistake(
      'linear',
      (linear) =>
        (y, x, weight, bias, rows, ...rest) => {
          linear(y, x, weight, bias, rows, ...rest)
          if (rows) y.fill(3)
        },
      /^it fails in every case with rows and in none without$/,
    ),
    mistake(
      'add',
      (add) => (y, a, b, N) => {
        add(y, a, b, N)
        y.fill(3, 32, N)
      },
      /^it fails from N = 33 on and never below$/,
    ),
  ])('%#: %s', async (op, answer, hint) => {
    const found = await verdictOn(op, answer)
    expect(found.passed).toBe(false)
    expect(found.worst).not.toBeNull()
    expect(found.hint).toMatch(hint)
  })

  test('no cause is named if none fits', async () => {
    const odd = changed('relu', (relu) => (y, x, N) => {
      relu(y, x, N)
      if (N === 5) y[0] = 77
    })
    expect(await verdictOn('relu', odd)).toMatchObject({ passed: false, hint: null })
  })
})

test.each<[string, string, unknown[]]>([
  ['PATH', 'expectedFolder: expected text, got undefined', []],
  ['OPTIONS', 'options: expected an object, got undefined', ['a', 'b']],
  [
    'OPTION_TYPE',
    'owed: expected row, relaxed, fast or { share }, got the text rows',
    ['a', 'b', { owed: 'rows' }],
  ],
  [
    'OPTION_NAME',
    'unknown option strickt (did you mean strict?)',
    ['a', 'b', { owed: 'row', strickt: true }],
  ],
])('wrong arguments are refused by %s: %s', async (code, message, given) => {
  await expect(checkOps(...(given as Parameters<typeof checkOps>))).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message) as string,
    exitCode: 2,
  })
})
