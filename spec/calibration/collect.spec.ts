/**
 * Calibration into a folder: stopped anywhere and resumed it is the one that was never stopped, and what is read back is
 * what was computed, or an error.
 *
 * Tests src/calibration/calibration_files.ts, src/calibration/collect_examples.ts, src/calibration/folder.ts,
 * src/calibration/manifest.ts and src/calibration/open.ts.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { windowsToMeasure } from '../../src/cost/calibration_cost.ts'
import { criterionByName, datasetCriteria } from '../../src/criteria/index.ts'
import { calibrateToFolder, type CalibrateOptions } from '../../src/calibration/collect.ts'
import { defaultFileExamples, exampleForms } from '../../src/calibration/calibration_files.ts'
import { collectExample, type GroupedExample } from '../../src/calibration/examples.ts'
import { manifestName } from '../../src/calibration/manifest.ts'
import { openCalibration } from '../../src/calibration/open.ts'
import { makeConfig } from '../../src/engine/config.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { safetensorsSize } from '../../src/io/safetensors_writer.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { makeDoJob } from '../../src/evaluation/jobs/do_job.ts'
import { methodHash } from '../../src/results/method_hash.ts'
import { law, type Drawn } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { answerOf, refusalOf } from '../io/hostile.ts'
import { inlineRunner } from '../jobs/inline_runner.ts'
import { filesOf, makeSmallModel, makeWindows, smallConfig, smallOptions } from './small_calibration.ts'

const top = temporaryFolder()
let backend: Backend
let model: LanguageModel
let count = 0
const newFolder = (): string => join(top, `${count++}`)

beforeAll(async () => {
  backend = await createBackend('reference')
  model = await makeSmallModel(backend)
})
afterAll(() => {
  model.dispose()
  expect(backend.liveBuffers).toBe(0)
})

const windows = makeWindows(5)
const sets = datasetCriteria.map(({ name }) => name)

type Calibrate = typeof calibrateToFolder

/** Calibrates until `stopAfter` examples were begun; the number computed. */
async function calibrateSome(
  calibrate: Calibrate,
  options: CalibrateOptions,
  stopAfter: number,
): Promise<void> {
  const stop = new AbortController()
  let begun = 0
  const onProgress = ({ stage }: { stage: string }): void => {
    if (stage === 'calibrate' && begun++ === stopAfter) stop.abort()
  }
  await calibrate(options, onProgress, stop.signal).catch((error: unknown) => {
    if (error !== stop.signal.reason) throw error
  })
}

/** However often it is stopped, the folder ends the same, byte for byte, and each example was computed once. */
const resumes =
  (calibrate: Calibrate) =>
  async ({ shardExamples, stops, withSets, keepSequence }: Drawn<typeof someStops>): Promise<void> => {
    const criteria = ['plainact', 'plainact-signed', ...(withSets ? sets : [])]
    const optionsIn = (folder: string): CalibrateOptions =>
      smallOptions(model, folder, windows, { shardExamples, keepSequence, criteria })
    const whole = newFolder()
    const parts = newFolder()
    await calibrateToFolder(optionsIn(whole))
    let kept = 0
    for (const stop of stops) {
      await calibrateSome(calibrate, optionsIn(parts), stop)
      const plan = { kept: -1 }
      await calibrateSome(
        (options, ...rest) =>
          calibrate({ ...options, onPlan: (seen) => void (plan.kept = seen.kept) }, ...rest),
        optionsIn(parts),
        0,
      )
      // With a data set every window runs again, so fewer new ones are reached.
      expect(plan.kept).toBe(
        withSets && sets.length > 0 ? Math.max(kept, stop) : Math.min(windows.length, kept + stop),
      )
      kept = plan.kept
    }
    const report = await calibrate(optionsIn(parts))
    expect(report).toMatchObject({ kept, computed: windows.length - kept, damaged: [] })
    expect(filesOf(parts)).toEqual(filesOf(whole))
    const bytes = Object.values(filesOf(whole)).reduce((total, file) => total + file.length, 0)
    expect(report.bytes).toBe(bytes)
  }

const someStops = {
  shardExamples: fc.integer({ min: 1, max: 8 }),
  stops: fc.array(fc.nat(5), { maxLength: 2 }),
  withSets: fc.boolean(),
  keepSequence: fc.boolean(),
}

/** Whatever happens to one file, the next run makes it what it was, and says which it was. */
const repairs =
  (calibrate: Calibrate) =>
  async ({ which, where, bit, how }: Drawn<typeof someDamage>): Promise<void> => {
    const folder = newFolder()
    const options = smallOptions(model, folder, windows, {
      shardExamples: 3,
      criteria: ['plainact', ...sets],
    })
    await calibrateToFolder(options)
    const before = filesOf(folder)
    const names = Object.keys(before).filter((name) => name !== manifestName)
    const name = names[which % names.length]
    const bytes = readFileSync(join(folder, name))
    const at = Math.floor((where / 1000) * bytes.length)
    if (how === 'change') bytes[at] ^= 1 << bit
    if (how === 'remove') rmSync(join(folder, name))
    else writeFileSync(join(folder, name), how === 'cut' ? bytes.subarray(0, at) : bytes)
    const report = await calibrate(options)
    expect(filesOf(folder)).toEqual(before)
    expect(report.damaged).toEqual(how === 'remove' ? [] : [name])
  }

const someDamage = {
  which: fc.nat(10),
  where: fc.nat(999),
  bit: fc.nat(7),
  how: fc.constantFrom('change', 'cut', 'remove'),
}

describe('an interrupted calibration', () => {
  law('resumes with no example lost or repeated', { ...someStops }, resumes(calibrateToFolder), {
    runs: casesAtTier(2, 25),
    examples: [
      { shardExamples: 3, stops: [2, 2], withSets: false, keepSequence: false },
      { shardExamples: 3, stops: [1, 4], withSets: true, keepSequence: true },
    ],
  })
  law('is repaired where a file was damaged', { ...someDamage }, repairs(calibrateToFolder), {
    runs: casesAtTier(2, 6),
  })

  test('mutants are killed: lost examples, a repeated file, a damaged file accepted', async () => {
    const removing =
      (pattern: RegExp): Calibrate =>
      (options, ...rest) => {
        mkdirSync(options.folder, { recursive: true })
        for (const name of readdirSync(options.folder))
          if (pattern.test(name)) rmSync(join(options.folder, name))
        return calibrateToFolder(options, ...rest)
      }
    const believing: Calibrate = async (options, ...rest) => {
      const kept = filesOf(options.folder)
      const report = await calibrateToFolder(options, ...rest)
      for (const [name, content] of Object.entries(kept))
        writeFileSync(join(options.folder, name), Buffer.from(content, 'latin1'))
      return report
    }
    for (const mutant of [removing(/^example/), removing(/^part-00000/)])
      await expect(
        resumes(mutant)({ shardExamples: 2, stops: [3], withSets: false, keepSequence: false }),
      ).rejects.toThrow('expected')
    await expect(repairs(believing)({ which: 0, where: 999, bit: 0, how: 'change' })).rejects.toThrow(
      'expected',
    )
  })

  test('is distinguished from a finished one', async () => {
    const folder = newFolder()
    await calibrateSome(calibrateToFolder, smallOptions(model, folder, windows, { shardExamples: 2 }), 3)
    expect(await refusalOf(() => openCalibration(folder))).toMatchObject({ code: 'CALIBRATION_INCOMPLETE' })
    expect(readdirSync(folder)).toEqual([manifestName, 'example-00002.safetensors', 'part-00000.safetensors'])
  })

  test('has its examples from the runner that is given, but for those that are measured here', async () => {
    const many = makeWindows(windowsToMeasure + 3)
    const work = makeDoJob({ model, hash: '0'.repeat(64), method: await methodHash() })
    let jobs = 0
    const runner = inlineRunner((...job) => {
      jobs++
      return work(...job)
    })
    const [here, there] = [newFolder(), newFolder()]
    await calibrateToFolder(smallOptions(model, here, many))
    await calibrateToFolder(smallOptions(model, there, many, { runner }))
    expect(jobs).toBe(3)
    expect(filesOf(there)).toEqual(filesOf(here))
  })

  test('may run in two processes at once', async () => {
    const [folder, alone] = [newFolder(), newFolder()]
    const options = smallOptions(model, folder, windows, { shardExamples: 2 })
    await Promise.all([calibrateToFolder(options), calibrateToFolder(options)])
    await calibrateToFolder({ ...options, folder: alone })
    expect(filesOf(folder)).toEqual(filesOf(alone))
  })
})

describe('another calibration is not mixed in', () => {
  const base = (folder: string): CalibrateOptions =>
    smallOptions(model, folder, windows, { shardExamples: 3 })
  test.each<[string, Partial<CalibrateOptions>]>([
    ['criteria', { criteria: ['plainact'] }],
    ['model.hash', { modelHash: '1'.repeat(64) }],
    ['data.hash', { source: { name: 'pages', windows: makeWindows(5, 2) } }],
    ['data.hash', { source: { name: 'pages', windows: windows.map((w) => ({ ...w, promptLength: 1 })) } }],
    // A count says more than the hash, which differs too.
    ['data.windows', { examples: 4 }],
    ['data.name', { source: { name: 'others', windows } }],
    ['seed', { seed: 1 }],
    ['keepSequence', { keepSequence: true }],
    ['shardExamples', { shardExamples: 2 }],
  ])('%s', async (field, change) => {
    const folder = newFolder()
    await calibrateSome(calibrateToFolder, base(folder), 4)
    const before = filesOf(folder)
    const error = await refusalOf(() => calibrateToFolder({ ...base(folder), ...change }))
    expect(error).toMatchObject({ code: 'CALIBRATION_DIFFERS' })
    expect(error.message).toContain(`${manifestName} ${field}: expected `)
    expect(filesOf(folder)).toEqual(before)
  })

  test('a folder with other files is unchanged', async () => {
    const folder = newFolder()
    mkdirSync(folder)
    writeFileSync(join(folder, 'letters'), 'dear')
    await expect(calibrateToFolder(base(folder))).rejects.toMatchObject({ code: 'OUTPUT', exitCode: 2 })
    expect(readdirSync(folder)).toEqual(['letters'])
  })

  test.each([
    ['CRITERIA', { criteria: [] }],
    ['CRITERIA', { criteria: ['plainact', 'plainact'] }],
    ['CRITERION_NAME', { criteria: ['best'] }],
    ['WINDOWS', { source: { name: 'pages', windows: [] } }],
    [
      'CONTEXT_LENGTH',
      { source: { name: 'pages', windows: [{ ...windows[0], tokens: new Int32Array(40) }] } },
    ],
  ])('%s is refused before anything is made', async (code, change) => {
    const folder = newFolder()
    await expect(calibrateToFolder({ ...base(folder), ...change })).rejects.toMatchObject({
      code,
      exitCode: 2,
    })
    expect(readdirSync(top)).not.toContain(folder.slice(top.length + 1))
  })

  test.each<[string, string, object | null]>([
    ['OPTIONS', 'options: expected an object, got null', null],
    ['OPTION_NAME', 'unknown option sead (did you mean seed?): expected a known one', { sead: 1 }],
    [
      'OPTION_TYPE',
      'model: expected a loaded model, got an object: that of a ShadowModel is its field model',
      { model: { model: {} } },
    ],
    ['OPTION_TYPE', 'modelHash: expected 64 hexadecimal digits, got the text opt', { modelHash: 'opt' }],
    [
      'OPTION_TYPE',
      'source: expected a source of textSource or taskSource, got an object without windows (did you mean it by window?)',
      { source: { name: 'pages', window: [] } },
    ],
    [
      'OPTION_TYPE',
      'pages, window 0: expected a window, got an object without promptLength',
      { source: { name: 'pages', windows: [{ tokens: [1, 2], words: 1, document: 'a', genre: 'b' }] } },
    ],
    ['WINDOWS', 'examples: expected a whole number from 1, got the text 2', { examples: '2' }],
    ['PATH', 'folder: expected text, got null', { folder: null }],
    ['OPTION_TYPE', 'criteria: expected a list of texts, got the text plainact', { criteria: 'plainact' }],
    ['SEED', 'seed: expected a whole number from 0 to 4294967295, got -1', { seed: -1 }],
    ['OPTION_TYPE', 'shardExamples: expected a whole number from 1, got 0', { shardExamples: 0 }],
    ['MASK_SHAPE', 'mask: expected a shape and two tables, got an object without a shape', { mask: {} }],
    [
      'OPTION_TYPE',
      'threads: expected the path and backend of a model, got an object whose backend is the text wsm, not one of',
      { threads: { path: 'opt', backend: 'wsm' } },
    ],
  ])('%s from JavaScript: %s', async (code, message, change) => {
    const folder = newFolder()
    const options = (change && { ...base(folder), ...change }) as CalibrateOptions
    await expect(calibrateToFolder(options)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
      exitCode: 2,
    })
    expect(readdirSync(top)).not.toContain(folder.slice(top.length + 1))
  })

  test('a listener or a signal of another type, and a folder to read that is no text', async () => {
    const options = base(newFolder())
    await expect(calibrateToFolder(options, 5 as never)).rejects.toThrow(
      'onProgress: expected a function, got 5',
    )
    await expect(calibrateToFolder(options, undefined, {} as never)).rejects.toThrow(
      'signal: expected an AbortSignal, got an object',
    )
    await expect(openCalibration(undefined as never)).rejects.toMatchObject({
      code: 'PATH',
      message: 'folder: expected text, got undefined',
    })
  })
})

describe('a calibration that is read', () => {
  const options = (folder: string, of = model): CalibrateOptions =>
    smallOptions(of, folder, windows, {
      shardExamples: 3,
      keepSequence: true,
      criteria: ['plainact', ...sets],
    })
  const collected = (of = model): GroupedExample[] =>
    windows.map((window, index) =>
      collectExample(of, window, [criterionByName('plainact')], { index, keepSequence: true }),
    )

  test('equals the computed one, by example and as one ranking', async () => {
    const folder = newFolder()
    await calibrateToFolder(options(folder))
    const calibration = await openCalibration(folder)
    const all = await calibration.readAll()
    expect(all).toEqual(collected())
    const { heads } = await calibration.aggregate('plainact')
    const mean = heads.map((_, i) => {
      const values = all.map((example) => example.scores.get('plainact')?.heads[i] ?? NaN)
      return values.reduce((total, value) => total + value, 0) / all.length
    })
    expect(heads).toEqual(mean)
    await expect(calibration.aggregate('fisher')).rejects.toMatchObject({ code: 'CRITERION_NAME' })
    calibration.checkModel(smallConfig)
    expect(await refusalOf(() => calibration.checkModel({ ...smallConfig, heads: 4 }))).toMatchObject({
      code: 'CALIBRATION_MODEL',
    })
  })

  test.each([2, 6])(
    'equals the computed one, where a head has %i numbers of a stream of 8',
    async (headSize) => {
      const other = await makeSmallModel(backend, makeConfig({ ...smallConfig, family: 'qwen3', headSize }))
      const folder = newFolder()
      await calibrateToFolder(options(folder, other))
      expect(await (await openCalibration(folder)).readAll()).toEqual(collected(other))
      other.dispose()
    },
  )

  test.runIf(sets.length > 0)('is the data set in order, where a criterion needs all of it', async () => {
    const folder = newFolder()
    await calibrateToFolder(options(folder))
    const calibration = await openCalibration(folder)
    for (const criterion of datasetCriteria) {
      const set = criterion.begin(model.shape, 0)
      for (const [index, window] of windows.entries())
        collectExample(model, window, [], { index, dataset: new Map([['', set]]) })
      expect(await calibration.aggregate(criterion.name)).toEqual(set.finish())
    }
  })

  test('is refused if a file is of another calibration, or was changed', async () => {
    const [folder, other] = [newFolder(), newFolder()]
    await calibrateToFolder(options(folder))
    await calibrateToFolder({ ...options(other), seed: 1 })
    const path = join(folder, 'part-00001.safetensors')
    copyFileSync(join(other, 'part-00001.safetensors'), path)
    const calibration = await openCalibration(folder)
    expect(await refusalOf(() => calibration.readAll())).toMatchObject({ code: 'CALIBRATION_SHARD' })
    copyFileSync(join(folder, 'part-00000.safetensors'), path)
    expect(await refusalOf(() => calibration.readAll())).toMatchObject({ code: 'CALIBRATION_SHARD' })
  })
})

/** The manifest of a finished calibration, as JSON. */
async function aManifest(): Promise<{ folder: string; json: Record<string, unknown> }> {
  const folder = newFolder()
  await calibrateToFolder(smallOptions(model, folder, windows.slice(0, 2)))
  return {
    folder,
    json: JSON.parse(readFileSync(join(folder, manifestName), 'utf8')) as Record<string, unknown>,
  }
}

describe('an untrusted manifest', () => {
  const places = [
    ['format'],
    ['version'],
    ['model'],
    ['model', 'hash'],
    ['model', 'layers'],
    ['model', 'width'],
    ['data'],
    ['data', 'name'],
    ['data', 'windows'],
    ['data', 'groups'],
    ['data', 'groups', '0'],
    ['criteria'],
    ['criteria', '0'],
    ['criteria', '0', 'name'],
    ['criteria', '0', 'formula'],
    ['datasetCriteria'],
    ['seed'],
    ['keepSequence'],
    ['shardExamples'],
  ]
  const values = [
    null,
    -1,
    0,
    1.5,
    2 ** 24,
    1e300,
    '',
    'x',
    '../../x',
    '__proto__',
    [],
    {},
    [1],
    [['a']],
    true,
  ]
  let known: Awaited<ReturnType<typeof aManifest>>
  beforeAll(async () => (known = await aManifest()))

  law(
    'is refused or read as written: no other error, no file outside, no memory for its claims',
    { place: fc.constantFrom(...places), value: fc.constantFrom<unknown>(undefined, ...values) },
    async ({ place, value }) => {
      const { folder, json } = known
      const changed = structuredClone(json)
      let inner = changed as Record<string, unknown>
      for (const key of place.slice(0, -1)) inner = inner[key] as Record<string, unknown>
      inner[place[place.length - 1]] = value
      writeFileSync(join(folder, manifestName), JSON.stringify(changed))
      const answer = await answerOf(async () => (await openCalibration(folder)).readAll())
      expect(answer).toBeInstanceOf(InputError)
      expect((answer as InputError).code).toMatch(/^(CALIBRATION|JSON)_/)
    },
    { runs: 200 },
  )

  test('that is cut, doubled or absent is refused', async () => {
    const { folder, json } = known
    const text = JSON.stringify(json)
    for (const broken of [text.slice(0, -1), text + text, '', '[]', `{"format":1,${text.slice(1)}`]) {
      writeFileSync(join(folder, manifestName), broken)
      await refusalOf(() => openCalibration(folder))
    }
    rmSync(join(folder, manifestName))
    expect(await refusalOf(() => openCalibration(folder))).toMatchObject({ code: 'FILE_MISSING' })
  })
})

law(
  'a file holds as many of the longest examples as fit into 16 MiB, but 64 at most and one at least',
  {
    neurons: fc.oneof(fc.integer({ min: 1, max: 6000 }), fc.integer({ min: 1, max: 2 ** 18 })),
    lengths: fc.array(fc.integer({ min: 1, max: 500 })),
  },
  ({ neurons, lengths }) => {
    const described = {
      model: { hash: '', layers: 12, heads: 4, neurons, width: 64 },
      data: { name: '', hash: '', windows: lengths.length, groups: [] },
      criteria: ['plainact', 'fisher'].map((name) => ({ name, formula: '' })),
      datasetCriteria: [],
      seed: 0,
      keepSequence: true,
      mask: null,
    }
    const count = defaultFileExamples(described, lengths)
    const bytes = count * safetensorsSize(exampleForms(described, [Math.max(0, ...lengths)]))
    if (count > 1) expect(bytes).toBeLessThanOrEqual(2 ** 24)
    if (count < 64) expect((bytes / count) * (count + 1)).toBeGreaterThan(2 ** 24)
    expect(count).toBe(Math.min(64, Math.max(1, count)))
  },
)
