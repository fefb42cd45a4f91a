/**
 * A provenance says where the numbers of a report come from: the package and its commit, the machine, and the hashes of files.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { hashFiles, hashTexts, makeProvenance, modelSource } from '../../src/results/provenance.ts'
import { root } from '../harness/syntax.ts'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

test('a single file has its own hash, several the hash of their hashes, in the order given', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-provenance-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const [a, b] = ['a', 'b'].map((name) => join(folder, name))
  writeFileSync(a, 'one')
  writeFileSync(b, 'two')
  expect(await hashFiles([a])).toBe(sha256('one'))
  expect(await hashFiles([a, b])).toBe(sha256(`${sha256('one')}\n${sha256('two')}`))
  expect(await hashFiles([b, a])).not.toBe(await hashFiles([a, b]))
})

test('texts that are cut or named in another way have another hash', async () => {
  const hash = await hashTexts([
    { name: 'a', text: 'one' },
    { name: 'b', text: 'two' },
  ])
  const others = [
    [{ name: 'a', text: 'onetwo' }],
    [
      { name: 'a', text: 'onet' },
      { name: 'b', text: 'wo' },
    ],
    [
      { name: 'a', text: 'one' },
      { name: 'c', text: 'two' },
    ],
  ]
  for (const texts of others) expect(await hashTexts(texts)).not.toBe(hash)
})

test('a model has its origin on the hub only if it came from there', () => {
  expect(modelSource('m', 'h')).toEqual({ name: 'm', hash: 'h' })
  const hub = { repository: 'o/m', revision: 'main', commit: 'c' }
  expect(modelSource('m', 'h', hub)).toEqual({ name: 'm', hash: 'h', hub })
})

test.each<[string, string, unknown]>([
  ['OPTIONS', 'options: expected an object, got undefined', undefined],
  ['OPTION_TYPE', 'backend: expected a backend, got the text wasm', { backend: 'wasm' }],
  [
    'OPTION_TYPE',
    'model: expected { name, hash } of a model, got an object without hash (did you mean it by hsh?)',
    { model: { name: 'm', hsh: 'h' } },
  ],
  ['OPTION_TYPE', 'data: expected { name, hash } of the data, got the text d', { data: 'd' }],
  ['SEED', 'seed: expected a whole number from 0 to 4294967295, got undefined', { seed: undefined }],
  ['OPTION_TYPE', 'argv: expected a list of texts, got the text eval', { argv: 'eval' }],
  ['OPTION_NAME', 'unknown field args (did you mean argv?): expected a known one', { args: [] }],
])('what is not known of a run is refused, %s: %s', async (code, message, change) => {
  const source = { name: 'm', hash: 'h' }
  const all = { backend: { name: 'wasm' }, model: source, data: source, seed: 0, argv: [] }
  const given = (change && { ...all, ...change }) as never
  await expect(makeProvenance(given)).rejects.toMatchObject({ code, message, exitCode: 2 })
})

test('a run is completed with the package, the commit of the checkout, the backend and the time', async () => {
  const inputs = {
    model: { name: 'm', hash: 'h' },
    data: { name: 'd', hash: 'g' },
    seed: 7,
    argv: ['eval', '--seed', '7'],
  }
  const before = Date.now()
  const provenance = await makeProvenance({ backend: { name: 'wasm' }, ...inputs })
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  expect(provenance).toMatchObject({ ...inputs, version, backend: 'wasm', device: null })
  expect(Date.parse(provenance.date)).toBeGreaterThanOrEqual(before)
  expect(provenance.threads).toBeGreaterThan(0)
  if (existsSync(join(root, '.git/HEAD'))) {
    const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()
    expect(provenance.commit).toBe(commit)
  }
  const onDevice = await makeProvenance({ backend: { name: 'cuda', device: 'a GPU' }, ...inputs })
  expect(onDevice.device).toBe('a GPU')
})
