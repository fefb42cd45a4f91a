/**
 * The page for who writes a backend (parity.md) says what the code does: its tables, its example bytes, its constants and its
 * account of a model are compared with what they are of.
 *
 * Tests src/parity/files.ts and src/parity/op_files.ts.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  describeKinds,
  exampleFile,
  makeParts,
  pagePath,
  partOf,
  tensorRows,
} from '../scripts/parity_page.ts'
import { createBackend } from '../src/backends/select.ts'
import { watchBackend } from '../src/backends/watched.ts'
import { exportParity } from '../src/parity/export.ts'
import { readParityCases } from '../src/parity/files.ts'
import { opFormat } from '../src/parity/op_files.ts'
import { parseSafetensors } from '../src/io/safetensors.ts'
import type { TensorsToWrite } from '../src/io/safetensors_writer.ts'
import { kernelNames } from '../src/ops/catalog.ts'
import { loadSmallModel, smallConfig } from './evaluation/small_model.ts'
import { fixtures } from './golden/golden.ts'
import { withGolden } from './golden/model.ts'

const page = readFileSync(pagePath, 'utf8')
const inOneLine = page.replace(/\s+/g, ' ')
const reference = await createBackend('reference')
const parts = await makeParts()

/** The parts that a page does not have as they are made. */
function staleParts(text: string): string[] {
  return [...parts].filter(([name, made]) => partOf(text, name) !== made).map(([name]) => name)
}

describe('the generated parts', () => {
  test('are up to date; `node scripts/node.mjs scripts/parity_page.ts` writes them', () => {
    expect(staleParts(page)).toEqual([])
    expect([...parts.keys()]).toEqual(['ops', 'tensors', 'bytes', 'case'])
  })

  test('name every op', () => {
    for (const op of kernelNames) expect(parts.get('ops')).toMatch(new RegExp(`^\\| \`${op}\` +\\|`, 'm'))
  })

  test.each([
    ['an op', '`embedding_bf16`', '`embedding_bf17`', 'ops'],
    ['a tolerance', '1e-5 relative', '1e-4 relative', 'tensors'],
    ['a byte', '00 00 80 3f', '00 00 80 4f', 'bytes'],
    ['a size of the case', '.T = "', '.S = "', 'case'],
    ['its marks', '<!-- made: case -->', '', 'case'],
  ])('a page with another %s is found', (_, from, to, part) => {
    expect(page).toContain(from)
    expect(staleParts(page.replace(from, to))).toEqual([part])
  })
})

test('the example file has the bytes on the page', async () => {
  const shown = /```json\n([^]*?)\n```/.exec(page)?.[1] ?? ''
  const length = Number(new DataView(exampleFile.buffer).getBigUint64(0, true))
  const header = new TextDecoder().decode(exampleFile.subarray(8, 8 + length))
  expect(JSON.parse(shown)).toEqual(JSON.parse(header))
  const source = await parseSafetensors(exampleFile)
  expect(await source.read('0.in.x')).toEqual(Float32Array.of(1, -2.5))
  expect(await source.read('0.out.y')).toEqual(Float32Array.of(1, 0))
})

describe('the tensors of a model', () => {
  type Rows = typeof tensorRows

  /** What rows do not say of the tensors that were written, or say of none of them. */
  function faults(rows: Rows, written: TensorsToWrite, letters: Readonly<Record<string, number>>): string[] {
    const used = new Set<string>()
    const found: string[] = []
    for (const [name, { dtype, shape }] of written) {
      const row = rows.find(({ name: pattern }) =>
        new RegExp(
          `^${pattern.replace('.', '\\.').replace('<l>', '\\d+').replace('<name>', '[\\w-]+')}$`,
        ).test(name),
      )
      const sizes = row?.shape.map((letter) => (letter === '1' ? 1 : letters[letter]))
      // Golden files have criteria of their own names.
      const isGolden = row === undefined && name.startsWith('crit.')
      if (row) used.add(row.name)
      if (!isGolden && (row?.dtype !== dtype || sizes?.join() !== shape.join()))
        found.push(`${name} ${dtype} [${shape.join(', ')}]`)
    }
    return [...found, ...rows.filter(({ name }) => !used.has(name)).map(({ name }) => `no ${name}`)]
  }

  async function exported(): Promise<{ written: TensorsToWrite; letters: Record<string, number> }> {
    const cases = await readParityCases(`${fixtures}golden/preln/cases/batch.safetensors`)
    let written: TensorsToWrite = new Map()
    let letters: Record<string, number> = {}
    await withGolden('preln', reference, async (model) => {
      const { layers: L, heads: H, width: D, neurons: F, vocabulary: V } = model.config
      letters = { B: cases.B, T: cases.T, L, H, D, F, V }
      written = await exportParity(model, cases)
    })
    return { written, letters }
  }

  test('are exactly the written ones', async () => {
    const { written, letters } = await exported()
    expect(faults(tensorRows, written, letters)).toEqual([])
    const criteria = [...written.keys()].flatMap((name) => /^crit\.([a-z0-9-]+)_ffn$/.exec(name)?.[1] ?? [])
    const listed = /Criteria\*\* are (.*?)\. /.exec(inOneLine)?.[1] ?? ''
    expect([...listed.matchAll(/`([\w-]+)`/g)].map(([, name]) => name)).toEqual(
      criteria.filter((name) => listed.includes(`\`${name}\``)),
    )
    expect(criteria.filter((name) => !listed.includes(`\`${name}\``))).toEqual([])
  })

  test('a missing row, and one of another shape, are found', async () => {
    const { written, letters } = await exported()
    const fewer = tensorRows.filter(({ name }) => name !== 'nll')
    expect(faults(fewer, written, letters)).toEqual([expect.stringMatching(/^nll F32/)])
    const other = tensorRows.map((row) =>
      row.name === 'head_out' ? { ...row, shape: ['B', 'L', 'T', 'D'] } : row,
    )
    expect(faults(other, written, letters)).toEqual([expect.stringMatching(/^head_out F32/)])
    const more = [...tensorRows, { ...tensorRows[0], name: 'more' }]
    expect(faults(more, written, letters)).toEqual(['no more'])
  })
})

describe('the prose of the page', () => {
  const definitions = readFileSync(new URL('../src/ops/float32.ts', import.meta.url), 'utf8')

  /** Numbers with a point in the blocks about exp and log that the definitions do not have. */
  function unknownConstants(text: string): string[] {
    const start = text.indexOf('exp and log are')
    const part = text.slice(start, text.indexOf('\n#', start))
    const constants = part.match(/-?\d+\.\d+(e-?\d+)?/g) ?? []
    expect(constants.length).toBeGreaterThan(20)
    return constants.filter((constant) => !definitions.includes(constant) && Number(constant) !== 0.5)
  }

  test('constants of exp and log are those of their definition', () => {
    expect(unknownConstants(page)).toEqual([])
    expect(unknownConstants(page.replace('1.98756915e-4', '1.98756916e-4'))).toEqual(['1.98756916e-4'])
  })

  test('element types and the format are those of the files', () => {
    expect(inOneLine).toContain(describeKinds())
    expect(inOneLine).toContain(`\`${opFormat}\``)
  })

  test('a model calls the ops of the page, equally often', async () => {
    const block = /\nblock \([^]*?\n\n/.exec(page)?.[0] ?? ''
    const start = page.lastIndexOf('```text', page.indexOf(block))
    const account = page.slice(start, page.indexOf('```', start + 7))
    const counts = (text: string, times: number): Map<string, number> => {
      const found = new Map<string, number>()
      for (const [, name] of text.matchAll(/\b([a-z_]+)\(/g)) found.set(name, (found.get(name) ?? 0) + times)
      return found
    }
    const expected = counts(account.replace(block, ''), 1)
    for (const [name, count] of counts(block, smallConfig.layers))
      expected.set(name, (expected.get(name) ?? 0) + count)

    const called = new Map<string, number>()
    const watched = watchBackend(reference, (op) => void called.set(op, (called.get(op) ?? 0) + 1))
    const model = await loadSmallModel(watched)
    called.clear()
    const sequence = model.begin({ capacity: 8 })
    sequence.feed(Int32Array.of(2, 5, 7), 'last')
    sequence.dispose()
    model.dispose()
    expect(Object.fromEntries([...called].toSorted())).toEqual(Object.fromEntries([...expected].toSorted()))
  })
})
