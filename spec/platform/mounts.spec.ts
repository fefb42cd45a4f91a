/**
 * Folders that a page was given are read as folders of a disk are, and paths mean the same without Node.
 *
 * Tests src/io/embedded.ts, src/io/find_model.ts, src/platform/paths.ts and src/platform/platform_error.ts.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { embeddedFolder } from '../../src/io/embedded.ts'
import { readWhole } from '../../src/io/files.ts'
import { refusal } from '../../src/io/refusal.ts'
import * as platform from '../../src/platform/platform.ts'
import { portablePaths, type PathRules } from '../../src/platform/platform.ts'
import { ShadowModel } from '../../src/library/shadow_model.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

const segment = fc.constantFrom('a', 'b.c', '..', '.', '', 'weights', '...')
const path = fc
  .tuple(fc.constantFrom('', '/'), fc.array(segment, { maxLength: 5 }), fc.constantFrom('', '/'))
  .map(([start, segments, end]) => start + segments.join('/') + end)
  // What two slashes in front mean is up to the system.
  .filter((text) => !text.startsWith('//'))

/** What Node's rules for POSIX say, from the root. */
const samePaths = lawForAll(
  'paths in a browser are those of POSIX',
  { one: path, other: path },
  (rules: PathRules, { one, other }): void => {
    expect(rules.join(one, other)).toBe(posix.join(one, other))
    expect(rules.dirname(one)).toBe(posix.dirname(one))
    expect(rules.basename(one)).toBe(posix.basename(one))
    expect(rules.resolve(one)).toBe(posix.resolve('/', one))
  },
  { runs: 300 },
)
stateLaw(samePaths, portablePaths)

test.each<[string, Partial<PathRules>]>([
  ['forgets ".."', { join: (...segments) => segments.filter(Boolean).join('/') || '.' }],
  ['cuts the root off', { dirname: (name) => name.split('/').slice(0, -1).join('/') || '.' }],
  ['keeps a slash at the end', { basename: (name) => name.split('/').at(-1) as string }],
])('a mutant that %s: killed', (_, mutant) => kills(samePaths, { ...portablePaths, ...mutant }))

const fileName = fc
  .array(fc.constantFrom('a', 'b', 'config.json', 'deep'), { minLength: 1, maxLength: 3 })
  .map((names) => names.join('/'))
const files = fc.dictionary(fileName, fc.uint8Array({ maxLength: 40 }), { maxKeys: 5 }).filter((table) => {
  const names = Object.keys(table)
  return !names.some((name) => names.some((other) => other.startsWith(`${name}/`)))
})

type Mount = typeof platform.mountFolder

/** What a file can be. */
const forms: readonly ((bytes: Uint8Array<ArrayBuffer>) => platform.MountedFile)[] = [
  (bytes) => new Blob([bytes]),
  (bytes) => bytes,
  (bytes) => Promise.resolve(bytes),
]

const someFiles = { table: files, asked: fileName, offset: fc.nat(50), length: fc.nat(50) }

/** The same files on a disk answer the same. */
const readsAsADisk = lawForAll(
  'a mounted folder reads like a folder on a disk',
  { ...someFiles },
  async (mount: Mount, { table, asked, offset, length }): Promise<void> => {
    const disk = mkdtempSync(join(tmpdir(), 'shadowllm-mounts-'))
    const mounted = mount(
      'law',
      new Map(Object.entries(table).map(([name, bytes], i) => [name, forms[i % forms.length](bytes)])),
    )
    try {
      for (const [name, bytes] of Object.entries(table)) {
        mkdirSync(dirname(join(disk, name)), { recursive: true })
        writeFileSync(join(disk, name), bytes)
      }
      for (const name of [...Object.keys(table), asked, '']) {
        const kind = await platform.fileKind(join(disk, name))
        expect(await platform.fileKind(join(mounted, name))).toBe(kind)
        if (kind === 'directory')
          expect(await platform.list(join(mounted, name))).toEqual(await platform.list(join(disk, name)))
        if (kind !== 'file') continue
        // What a reader does with its bytes is not seen by the next one.
        ;(await platform.readFile(join(mounted, name))).fill(7)
        expect(await platform.readFile(join(mounted, name))).toEqual(
          await platform.readFile(join(disk, name)),
        )
        const [here, there] = [
          await platform.openRange(join(mounted, name)),
          await platform.openRange(join(disk, name)),
        ]
        expect(here.size).toBe(there.size)
        expect(await here.read(offset, length)).toEqual(await there.read(offset, length))
        const [room, other] = [new Uint8Array(length).fill(7), new Uint8Array(length).fill(7)]
        expect(await here.read(offset, length, room)).toEqual(await there.read(offset, length, other))
        expect(await here.changed()).toBe(false)
        await Promise.all([here.close(), there.close()])
      }
    } finally {
      platform.unmountFolder(mounted)
      rmSync(disk, { recursive: true })
    }
    expect(await platform.fileKind(mounted)).toBe('missing')
  },
)
stateLaw(readsAsADisk, platform.mountFolder)

type Table = Parameters<Mount>[1]

const cut = async (file: platform.MountedFile): Promise<Blob | Uint8Array<ArrayBuffer>> =>
  (await file).slice(0, 9)

test.each<[string, (table: Table) => Table]>([
  ['loses what lies in folders', (table) => new Map([...table].filter(([name]) => !name.includes('/')))],
  ['loses last bytes', (table) => new Map([...table].map(([name, file]) => [name, cut(file)]))],
])('a mutant that %s: killed', (_, mutate) =>
  kills(readsAsADisk, (name, table) => platform.mountFolder(name, mutate(table))),
)

test('a model from files in memory generates the text of the model on a disk', async () => {
  const folder = await embeddedFolder()
  const names = ['config.json', 'model.safetensors', 'predictor.safetensors', 'vocab.json', 'merges.txt']
  const blobs = names.map((name): [string, Blob] => [name, new Blob([readFileSync(join(folder, name))])])
  const mounted = platform.mountFolder('model', new Map(blobs))
  const write = async (source: string): Promise<string> => {
    const opt = await ShadowModel.fromPretrained(source)
    let text = ''
    for await (const step of opt.generate('The captain', { planner: 'shadow', maxTokens: 8 }))
      text += step.text
    await opt.dispose()
    return text
  }
  expect(await write(mounted)).toBe(await write('embedded'))
  platform.unmountFolder(mounted)
  await expect(write(mounted)).rejects.toThrow('expected')
})

test('a file that does not come is refused with what its fetch was refused with, when it is read', async () => {
  const why = refusal('FILE_READ', 'config.json', 'a file', 'status 404')
  const lost = Promise.reject(why)
  lost.catch(() => {})
  const mounted = platform.mountFolder('lost', new Map([['config.json', lost]]))
  expect(await platform.fileKind(join(mounted, 'config.json'))).toBe('file')
  await expect(readWhole(join(mounted, 'config.json'))).rejects.toBe(why)
  platform.unmountFolder(mounted)
})
