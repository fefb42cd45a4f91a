/**
 * GGUF files nobody should trust: what fixtures/hostile/gguf.ts cannot say as bytes. Its rows are tried by
 * spec/hostile/table.spec.ts.
 */
import { appendFileSync, mkdtempSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  entriesWith,
  F32,
  ggufFile,
  number,
  pieceEntries,
  Q4_0,
  smallEntries,
  smallGguf,
  someTensor,
  text,
} from '../../fixtures/hostile/build_gguf.ts'
import { bytesAsFile } from '../../src/io/files.ts'
import { readGgufHeader, type GgufHeader, type GgufTensor } from '../../src/io/gguf.ts'
import { openGguf, readGguf } from '../../src/io/gguf_model.ts'
import { findModelFiles } from '../../src/io/load.ts'
import { mergesOf } from '../../src/io/piece_merges.ts'
import { encodeSafetensors } from '../../src/io/safetensors_writer.ts'
import { SPACE_MARK, type Vocabulary } from '../../src/io/vocabulary.ts'
import { InputError } from '../../src/tensor/errors.ts'
import type { RawTensorSource } from '../../src/tensor/tensor_source.ts'
import { law } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { tensorsOf } from '../hostile/gguf_readers.ts'
import { answerOf, refusalOf } from './hostile.ts'

const folder = temporaryFolder()

describe('files that change', () => {
  const norm = 'model.norm.weight'
  const up = 'model.layers.0.mlp.up_proj.weight'
  const stream = async (source: RawTensorSource): Promise<void> => {
    for await (const { bytes } of source.stream(up, 64)) expect(bytes.length).toBeGreaterThan(0)
  }
  const readings: [string, (source: RawTensorSource) => Promise<unknown>][] = [
    ['read whole', (source) => source.read(norm)],
    ['read as rows', (source) => source.readRows(up, 1, 2)],
    ['read as it is stored', (source) => source.readRaw(up)],
    ['streamed', stream],
  ]
  const changes: [string, (path: string, length: number) => void][] = [
    ['truncated', (path, length) => truncateSync(path, length - 1)],
    ['longer', (path) => appendFileSync(path, 'x')],
    ['another of the same length', (path, length) => writeFileSync(path, new Uint8Array(length))],
  ]

  test.each(readings)(
    'GG25 a file truncated or changed between header and tensors is refused: %s',
    async (_, read) => {
      for (const [what, change] of changes) {
        const path = join(folder, 'changing.gguf')
        const bytes = smallGguf()
        writeFileSync(path, bytes)
        const { source } = await openGguf(path)
        // Times of files have steps of milliseconds.
        await new Promise((resolve) => setTimeout(resolve, 20))
        change(path, bytes.length)
        expect((await refusalOf(() => read(source))).code, what).toBe('FILE_CHANGED')
        await source.close()
      }
    },
  )

  test('GG25 a file that changes while its header is read is refused', async () => {
    const bytes = bytesAsFile(smallGguf())
    const changing = { ...bytes, changed: async () => true }
    const short = { ...bytes, read: (offset: number, length: number) => bytes.read(offset, length - 1) }
    for (const file of [changing, short])
      expect((await refusalOf(() => readGguf(file, 'm.gguf'))).code).toBe('FILE_CHANGED')
  })

  test('the header of a large file is read in parts of a few megabytes', async () => {
    const asked: number[] = []
    const bytes = bytesAsFile(smallGguf())
    const size = 2 ** 40
    const sparse = {
      ...bytes,
      size,
      read: async (offset: number, length: number) => {
        asked.push(length)
        const out = new Uint8Array(length)
        out.set(await bytes.read(offset, Math.min(length, bytes.size)))
        return out
      },
    }
    // Its tensors do not fill it.
    expect((await refusalOf(() => readGgufHeader(sparse, 'm.gguf'))).code).toBe('GGUF_TRAILING')
    expect(asked).toEqual([2 ** 22])
  })
})

describe('files that are found in a folder', () => {
  const messages = async (...names: string[]): Promise<InputError> => {
    const at = mkdtempSync(join(folder, 'model-'))
    for (const name of names) writeFileSync(join(at, name), smallGguf())
    return refusalOf(() => findModelFiles(at))
  }

  test('a name with control characters is refused, and shown without them', async () => {
    const [first, second] = ['a\u001b[2J.gguf', 'b\u202e.gguf']
    expect((await messages(first)).code).toBe('PATH_UNSAFE')
    expect((await messages(second)).message).not.toMatch(/\u202e/)
    const several = await messages(first, second)
    expect(several.code).toBe('MODEL_WEIGHTS')
    expect(several.message).toContain('\\u001b[2J')
  })
})

describe('entries that may be read in two ways', () => {
  const configOf = async (changes: Parameters<typeof smallGguf>[0]): Promise<Record<string, unknown>> =>
    (await readGguf(bytesAsFile(smallGguf(changes)), 'm.gguf')).configJson
  const [type, factor, old] = ['scaling.type', 'scaling.factor', 'scale_linear'].map(
    (key) => `llama.rope.${key}`,
  )
  const four = number('f32', 4)
  const two = number('f32', 2)

  test.each([
    ['a factor without a kind', { [factor]: four }, 4],
    ['an old factor without a kind', { [old]: four }, 4],
    ['two factors, of which the new one counts', { [factor]: four, [old]: two }, 4],
    ['a factor of the kind linear', { [type]: text('linear'), [old]: two }, 2],
    ['a factor of the kind none', { [type]: text('none'), [factor]: four }, null],
    ['an old factor of the kind none', { [type]: text('none'), [old]: four }, null],
    ['no factor', { [type]: text('linear') }, null],
  ])('scaling is that of llama.cpp for %s', async (_, changes, expected) => {
    const scaling = expected && { rope_type: 'linear', factor: expected }
    expect((await configOf(changes)).rope_scaling).toEqual(scaling)
  })

  test('-0 is 0', async () => {
    const { bos_token_id } = await configOf({ 'tokenizer.ggml.bos_token_id': number('f32', -0) })
    expect(bos_token_id).toBe(0)
  })
})

test('a file whose texts fit in no safetensors header is not converted', async () => {
  const metadata = { 'general.description': 'x'.repeat(25e6) }
  const { code } = await refusalOf(() => encodeSafetensors(new Map(), metadata))
  expect(code).toBe('SAFETENSORS_HEADER_LIMIT')
})

describe('places of tensors', () => {
  /** Whether every byte after the header is of one tensor, or padding of less than the alignment. */
  function coverOnce(tensors: Iterable<GgufTensor>, size: number, alignment: number): boolean {
    const sorted = [...tensors].toSorted((a, b) => a.start - b.start)
    const ends = sorted.map(({ start, byteLength }) => start + byteLength)
    return sorted.every(({ start }, i) => {
      const next = sorted[i + 1]?.start ?? size
      return start % alignment === 0 && ends[i] <= next && next - ends[i] < alignment
    })
  }

  const offsets = fc.array(
    fc.oneof(
      fc.nat(4).map((i) => 32 * i),
      fc.nat(200),
    ),
    { minLength: 1, maxLength: 5 },
  )

  law(
    'tensors whose header is read cover the data once, whatever their offsets and sizes',
    { places: offsets, sizes: fc.infiniteStream(fc.integer({ min: 1, max: 20 })) },
    async ({ places, sizes }) => {
      const tensors = places.map((offset, i) => ({
        ...someTensor(`blk.${i}.ffn_up.weight`, F32, [sizes.next().value as number, 1]),
        offset,
      }))
      const bytes = ggufFile({ entries: entriesWith(smallEntries()), tensors })
      const answer = await answerOf(() => readGgufHeader(bytesAsFile(bytes), 'm.gguf'))
      if (answer instanceof InputError)
        expect(answer.code).toMatch(/^GGUF_(OVERLAP|HOLE|TRUNCATED|TRAILING)$/)
      else expect(coverOnce(answer.tensors.values(), bytes.length, 32)).toBe(true)
    },
  )

  test('mutants are killed: tensors that overlap, that leave a hole, and that are cut', async () => {
    const bytes = ggufFile({
      entries: entriesWith(smallEntries(), { 'general.alignment': number('u32', 8) }),
      alignment: 8,
      tensors: ['ffn_up', 'ffn_down'].map((name) => someTensor(`blk.0.${name}.weight`, F32, [5, 1])),
    })
    const { tensors }: GgufHeader = await readGgufHeader(bytesAsFile(bytes), 'm.gguf')
    const [first, second] = tensors.values()
    expect(coverOnce([first, second], bytes.length, 8)).toBe(true)
    expect(coverOnce([first, { ...second, start: second.start - 8 }], bytes.length, 8)).toBe(false)
    expect(coverOnce([first], bytes.length, 8)).toBe(false)
    expect(coverOnce([first, second], bytes.length - 1, 8)).toBe(false)
  })
})

describe('merges of scores', () => {
  const pieces = fc.uniqueArray(
    fc.string({ unit: fc.constantFrom('a', 'b', '\u{1f600}'), minLength: 1, maxLength: 5 }),
  )
  const scores = fc.infiniteStream(fc.integer({ min: -2, max: 2 }))

  law(
    'are all ways to cut a piece in two, by its score and then by the lengths of both',
    { list: pieces, of: scores },
    async ({ list, of }) => {
      const all = [SPACE_MARK, ...list]
      const scored = all.map(() => of.next().value as number)
      const file = ggufFile({
        entries: entriesWith(smallEntries(), pieceEntries(all, scored)),
        tensors: [someTensor('token_embd.weight', F32, [400, 1])],
      })
      const { vocabulary } = await readGguf(bytesAsFile(file), 'm.gguf')
      const expected = all
        .flatMap((piece, i) => {
          const characters = [...piece]
          return characters.map((_, at) => ({
            pair: [characters.slice(0, at).join(''), characters.slice(at).join('')],
            order: [scored[i], at, characters.length - at],
          }))
        })
        .filter(({ pair }) => pair.every((part) => all.includes(part)))
        .toSorted(({ order: a }, { order: b }) => b[0] - a[0] || b[1] - a[1] || b[2] - a[2])
      expect(mergesOf(vocabulary as Vocabulary)).toEqual(expected.map(({ pair }) => pair))
    },
  )
})

describe('mutants are killed by the reader of the table', () => {
  const rows = 6
  const file = ggufFile({
    entries: entriesWith(smallEntries()),
    tensors: [someTensor('token_embd.weight', Q4_0, [rows, 32])],
  })
  const mutants: [string, string, (source: RawTensorSource) => Partial<RawTensorSource>][] = [
    [
      'rows of another place',
      'rows are not',
      (source) => ({
        readRows: (name, first, count) => source.readRows(name, Math.max(0, first - 1), count),
      }),
    ],
    [
      'a stream that ends early',
      'ended early',
      (source) => ({
        async *stream(name, length) {
          for await (const part of source.stream(name, length)) if (part.first < rows - 2) yield part
        },
      }),
    ],
    [
      'a stream of other bytes',
      'not the bytes',
      (source) => ({
        async *stream(name, length) {
          for await (const { first, bytes } of source.stream(name, length))
            yield { first, bytes: bytes.map((byte) => byte ^ 1) }
        },
      }),
    ],
    [
      'a stream that counts rows wrongly',
      'wrong place',
      (source) => ({
        async *stream(name, length) {
          for await (const { first, bytes } of source.stream(name, length)) yield { first: first + 1, bytes }
        },
      }),
    ],
  ]

  test.each(mutants)('%s', async (_, what, mutant) => {
    const { source } = await readGguf(bytesAsFile(file), 'm.gguf')
    await expect(tensorsOf({ ...source })).resolves.toHaveLength(1)
    await expect(tensorsOf({ ...source, ...mutant(source) })).rejects.toThrow(what)
  })
})
