/**
 * The files that shards are done with, as bytes: windows, and tables with a number for every unit (masks, mean scores).
 *
 * They are named by their hash, so what is read is what was written; that it means what it should is checked all the same,
 * because anybody who can write to a store can name a file by its hash.
 */
import { canonicalJson } from '../io/canonical_json.ts'
import { describeJson, parseJson, type JsonValue } from '../io/json.ts'
import { quote, refusal } from '../io/refusal.ts'
import { parseSafetensors } from '../io/safetensors.ts'
import { encodeSafetensors, type TensorToWrite } from '../io/safetensors_writer.ts'
import type { UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { Window } from '../data/windows.ts'

/** Windows as bytes: the same for equal windows. */
export function encodeWindows(windows: readonly Window[]): Uint8Array<ArrayBuffer> {
  const rows = windows.map(({ document, genre, promptLength, words, tokens }) => [
    document,
    genre,
    promptLength,
    words,
    [...tokens],
  ])
  return new TextEncoder().encode(canonicalJson(rows))
}

/** The windows of such bytes. @throws InputError SHARD_FORMAT, JSON_* for anything else */
export function parseWindows(bytes: Uint8Array): Window[] {
  const json = parseJson(bytes, 'shard windows', { numbers: 'integers' })
  if (!Array.isArray(json)) throw refusal('SHARD_FORMAT', 'shard windows', 'a list', describeJson(json))
  return json.map((row, i) => parseWindow(row, `shard window ${i}`))
}

function parseWindow(row: JsonValue, subject: string): Window {
  const [document, genre, promptLength, words, list] = Array.isArray(row) ? row : []
  const tokens = Array.isArray(list) ? list : []
  const isId = (value: JsonValue): boolean => typeof value === 'number' && value >= 0 && value < 2 ** 31
  const isWindow =
    typeof document === 'string' &&
    typeof genre === 'string' &&
    typeof words === 'number' &&
    typeof promptLength === 'number' &&
    promptLength >= 1 &&
    promptLength < tokens.length &&
    tokens.every(isId)
  if (isWindow)
    return { document, genre, promptLength, words, tokens: Int32Array.from(tokens as readonly number[]) }
  const expected = 'document, genre, tokens of the prompt, words, and the list of tokens'
  throw refusal('SHARD_FORMAT', subject, expected, 'something else')
}

/** A table of all units as bytes. */
export function encodeUnits({ shape, heads, neurons }: UnitScores): Uint8Array<ArrayBuffer> {
  const { layers } = shape
  return encodeSafetensors(
    new Map<string, TensorToWrite>([
      ['heads', { dtype: 'F32', shape: [layers, shape.heads], data: heads }],
      ['neurons', { dtype: 'F32', shape: [layers, shape.neurons], data: neurons }],
    ]),
  )
}

/** The table of such bytes. @throws InputError SHARD_FORMAT for one of another shape; SAFETENSORS_* and the like */
export async function parseUnits(bytes: Uint8Array, shape: UnitShape): Promise<UnitScores> {
  const source = await parseSafetensors(bytes, 'shard units')
  const table = async (name: 'heads' | 'neurons'): Promise<Float32Array> => {
    const expected = `${shape.layers},${shape[name]}`
    const found = source.tensors.get(name)?.shape.join()
    if (found === expected) return source.read(name)
    throw refusal('SHARD_FORMAT', `shard units ${name}`, `[${expected}]`, found ? quote(found) : 'none')
  }
  return { shape, heads: await table('heads'), neurons: await table('neurons') }
}
