/**
 * The room that knows the runtime: files are read by parts and written whole or not at all, and everything can be
 * imported where there is no Node.
 *
 * Tests src/platform/builtin.ts, src/platform/checksums.ts, src/platform/files.ts and src/platform/storage.ts.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { afterEach, expect, test, vi } from 'vitest'
import {
  canShareMemory,
  crc32,
  exists,
  fileKind,
  hasColours,
  list,
  machine,
  makeFolder,
  openRange,
  portableCrc32,
  readFile,
  removeAbandoned,
  runtime,
  sha256,
  sha256File,
  temporaryName,
  write,
  writeFileAtomic,
} from '../../src/platform/platform.ts'
import { law } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const folder = temporaryFolder()

law(
  'any range of a file is the same bytes, cut where the file ends',
  { bytes: fc.uint8Array({ maxLength: 300 }), offset: fc.nat(400), length: fc.nat(400) },
  async ({ bytes, offset, length }) => {
    const path = join(folder, 'ranges')
    writeFileSync(path, bytes)
    const file = await openRange(path)
    try {
      expect(file.size).toBe(bytes.length)
      const read = await file.read(offset, length)
      expect(read).toEqual(bytes.slice(offset, offset + length))
      expect(read.byteOffset).toBe(0)
      expect(read.buffer.byteLength).toBe(read.length)
    } finally {
      await file.close()
    }
  },
)

test('a file that changes while it is open is reported', async () => {
  const path = join(folder, 'changing')
  writeFileSync(path, 'abc')
  const file = await openRange(path)
  expect(await file.changed()).toBe(false)
  writeFileSync(path, 'abcd')
  expect(await file.changed()).toBe(true)
  await file.close()
  const same = await openRange(path)
  writeFileSync(path, 'efgh')
  utimesSync(path, 1, 1)
  expect(await same.changed()).toBe(true)
  await same.close()
})

test('a folder is made with its parents, again without harm, and refused where none can be', async () => {
  const place = join(folder, 'one', 'two', 'three')
  await makeFolder(place)
  await makeFolder(place)
  writeFileSync(join(place, 'file'), '')
  await expect(makeFolder(join(place, 'file'))).rejects.toMatchObject({ code: 'EEXIST' })
  await expect(makeFolder(join(place, 'file', 'below'))).rejects.toMatchObject({ code: 'ENOTDIR' })
  // Node's recursive way does not end there.
  if (existsSync('/proc/self'))
    await expect(makeFolder('/proc/none/below')).rejects.toMatchObject({ code: 'ENOENT' })
})

test('a write that fails half way leaves the old file and no other', async () => {
  const place = join(folder, 'atomic')
  await makeFolder(place)
  const path = join(place, 'file')
  await writeFileAtomic(path, 'old')
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(10)
    throw new Error('the source broke')
  }
  await expect(writeFileAtomic(path, broken())).rejects.toThrow('the source broke')
  expect(readFileSync(path, 'utf8')).toBe('old')
  await expect(writeFileAtomic(folder, 'a folder is no place for a file')).rejects.toThrow()
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith(`${basename(folder)}.`))).toEqual([])
  await writeFileAtomic(path, [new Uint8Array([1, 2]), new Uint8Array([3])])
  expect([...(await readFile(path))]).toEqual([1, 2, 3])
  expect(readdirSync(place)).toEqual(['file'])
})

test('a temporary file is removed once its process has ended, and not before', async () => {
  const place = join(folder, 'abandoned')
  await makeFolder(place)
  const { pid } = spawnSync(process.execPath, ['--version'])
  const mine = basename(temporaryName('file'))
  const names = [
    mine,
    `file.${process.pid}-00000000-0.tmp`,
    `file.${pid}-${mine.split('-')[1]}-0.tmp`,
    `file.${process.ppid}-00000000-0.tmp`,
    'file.tmp',
    `file.${pid}-00000000-0`,
  ]
  for (const name of names) writeFileSync(join(place, name), '')
  expect(temporaryName('file')).not.toBe(mine)
  expect(await removeAbandoned(place)).toEqual(names.slice(1, 3).toSorted())
  expect(readdirSync(place)).toEqual([names[0], ...names.slice(3)].toSorted())
})

test('files, folders and their absence are told apart', async () => {
  const path = join(folder, 'kind')
  writeFileSync(path, '')
  expect(await fileKind(path)).toBe('file')
  expect(await fileKind(folder)).toBe('directory')
  expect(await fileKind(join(folder, 'none'))).toBe('missing')
  expect(await fileKind(join(path, 'below a file'))).toBe('missing')
  expect([await exists(path), await exists(join(folder, 'none'))]).toEqual([true, false])
  expect(await list(folder)).toContain('kind')
})

test('checksums have their published values', async () => {
  const text = new TextEncoder().encode('123456789')
  expect(crc32(text)).toBe(0xcbf43926)
  expect(await sha256(text)).toBe('15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225')
  writeFileSync(join(folder, 'hashed'), text)
  expect(await sha256File(join(folder, 'hashed'))).toBe(await sha256(text))
})

law(
  'CRC-32 can be computed in two parts, and the portable form equals the native one',
  { a: fc.uint8Array({ maxLength: 100 }), b: fc.uint8Array({ maxLength: 100 }) },
  ({ a, b }) => {
    const whole = new Uint8Array([...a, ...b])
    expect(crc32(b, crc32(a))).toBe(crc32(whole))
    expect(portableCrc32(b, portableCrc32(a))).toBe(crc32(whole))
  },
)

test('the runtime and the machine are described', () => {
  expect(['node', 'deno']).toContain(runtime.name)
  expect(runtime.version).toMatch(/^\d+\.\d+/)
  expect(machine().threads).toBeGreaterThan(0)
})

// Deno's workers cannot take `process` away, nor strip types for a plain worker script.
test.skipIf(runtime.name !== 'node')(
  'the module loads without a process, and names what is missing',
  async () => {
    const url = new URL('../../src/platform/platform.ts', import.meta.url).href
    const script = `
    const { parentPort } = process.getBuiltinModule('node:worker_threads')
    Reflect.deleteProperty(globalThis, 'process')
    import(${JSON.stringify(url)}).then(async (platform) => {
      const failure = await platform.openRange('x').then(() => null, (error) => error.message)
      parentPort.postMessage([platform.runtime.name, platform.environment('PATH'), platform.crc32(new Uint8Array(3)), failure])
    }, (error) => parentPort.postMessage(String(error)))`
    const worker = new Worker(script, { eval: true })
    const answer = await new Promise((resolve, reject) =>
      worker.once('message', resolve).once('error', reject),
    )
    await worker.terminate()
    expect(answer).toEqual([
      'browser',
      undefined,
      0xff41d912,
      'node:fs: expected Node or Deno, got a browser',
    ])
  },
)

afterEach(() => vi.unstubAllGlobals())

// Only pages report whether they are isolated.
test.each([
  { shares: true, isolated: undefined, expected: true },
  { shares: true, isolated: true, expected: true },
  { shares: true, isolated: false, expected: false },
  { shares: false, isolated: undefined, expected: false },
  { shares: false, isolated: false, expected: false },
])(
  'threads share memory: $expected, where shared memory is there ($shares) and the page isolated ($isolated)',
  ({ shares, isolated, expected }) => {
    if (!shares) vi.stubGlobal('SharedArrayBuffer', undefined)
    vi.stubGlobal('crossOriginIsolated', isolated)
    expect(canShareMemory()).toBe(expected)
  },
)

test.each([
  { isTTY: true, noColor: false, expected: true },
  { isTTY: true, noColor: true, expected: false },
  { isTTY: undefined, noColor: false, expected: false },
  { isTTY: undefined, noColor: true, expected: false },
])(
  'Deno shows colours: $expected, where its output is a terminal ($isTTY) and NO_COLOR set ($noColor)',
  ({ isTTY, noColor, expected }) => {
    const before = Object.getOwnPropertyDescriptor(process.stdout, 'isTTY')
    Object.defineProperty(process.stdout, 'isTTY', { value: isTTY, configurable: true })
    vi.stubGlobal('Deno', { noColor })
    try {
      expect(hasColours('stdout')).toBe(expected)
    } finally {
      Reflect.deleteProperty(process.stdout, 'isTTY')
      if (before) Object.defineProperty(process.stdout, 'isTTY', before)
    }
  },
)

test.each([
  { code: 'EPIPE', isTTY: false, isDropped: true },
  { code: 'EIO', isTTY: true, isDropped: true },
  { code: 'EIO', isTTY: false, isDropped: false },
  { code: 'ENOSPC', isTTY: true, isDropped: false },
])('output that fails with $code is dropped: $isDropped, at a terminal: $isTTY', async (row) => {
  const error = Object.assign(new Error(row.code), { code: row.code })
  const fails = {
    isTTY: row.isTTY,
    on: () => {},
    write: (_: string, done: (e: Error) => void) => done(error),
  }
  vi.spyOn(process, 'stderr', 'get').mockReturnValue(fails as unknown as typeof process.stderr)
  const written = await write('stderr', 'a').then(
    () => true,
    () => false,
  )
  vi.restoreAllMocks()
  expect(written).toBe(row.isDropped)
})

test('a written output has one error listener, so its failure does not end the program', async () => {
  // Another instance of the module, which has written nothing yet.
  const fresh = '../../src/platform/platform.ts?fresh'
  const { write } = (await import(fresh)) as { write: (output: string, content: string) => Promise<void> }
  const before = process.stdout.listeners('error')
  try {
    for (const text of ['', '']) await write('stdout', text)
    expect(process.stdout.listenerCount('error')).toBe(before.length + 1)
  } finally {
    for (const listener of process.stdout.listeners('error'))
      if (!before.includes(listener)) process.stdout.off('error', listener as () => void)
  }
})
