/**
 * The readers of this project's own formats. Most of them take paths, so the bytes become a file first.
 */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as own from '../../fixtures/hostile/build_own.ts'
import { concat } from '../../fixtures/hostile/bytes.ts'
import { callFile, certificateFile } from '../../fixtures/hostile/parity_ops.ts'
import { createBackend } from '../../src/backends/select.ts'
import { readSums, openMoments } from '../../src/compensation/moments_file.ts'
import { openCalibration } from '../../src/calibration/open.ts'
import { storeManifest } from '../../src/calibration/manifest.ts'
import { readExamples } from '../../src/calibration/calibration_files.ts'
import { readCertificate } from '../../src/parity/certificate.ts'
import { readParityCases, readParityFile } from '../../src/parity/files.ts'
import { openOpFile } from '../../src/parity/op_files.ts'
import { openPartStore, partKey } from '../../src/results/part_store.ts'
import { readRows } from '../../src/data/tasks/find_rows.ts'
import { RowReader } from '../../src/data/tasks/row.ts'
import { tasks } from '../../src/data/tasks/index.ts'
import { parseRows, type PlacedRow } from '../../src/io/row_file.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { readSession } from '../../src/library/session_file.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { readMask } from '../../src/masks/mask_file.ts'
import { openPredictor, predictorTensors } from '../../src/predictor/predictor_file.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { openCheckpoint, readCurve } from '../../src/training/checkpoint.ts'
import { faultOfRefusal } from './judge.ts'
import { repairPart, repairSafetensors, repairShard } from './repair.ts'
import type { Reader } from './reader.ts'

const reference = createBackend('reference')

/** Writes the bytes into a file and reads that. */
const fromFile =
  (name: string, read: (path: string, folder: string) => Promise<unknown>) =>
  async (bytes: Uint8Array, folder: string): Promise<unknown> => {
    const path = join(folder, name)
    writeFileSync(path, bytes)
    return read(path, folder)
  }

/** What each task makes of each row, or why it does not. */
function askTasks(rows: readonly PlacedRow[]): unknown {
  const asked = rows.slice(0, 20).map((row) =>
    tasks.map((task) => {
      try {
        return task.read(new RowReader(row))
      } catch (error) {
        const fault = error instanceof InputError ? faultOfRefusal(error) : 'another exception'
        if (fault === null) return (error as InputError).message
        throw new RangeError(`a row that is refused with ${fault}`, { cause: error })
      }
    }),
  )
  return [rows.length, rows.slice(0, 1000), asked]
}

const weights = initialWeights(own.runConfig, { seed: 1 })
const sessionModel = async (): Promise<LanguageModel> =>
  LanguageModel.load(own.runConfig, memorySource(weights), await reference)

const { identity } = await storeManifest(own.manifest)
const stored = { manifest: own.manifest, text: '', identity }
const key = await partKey(own.partDescription)
const jsonWords = ['{"', '":', '[[', '__proto__', 'constructor', '\\ud800', '1e400', '\ufeff', 'null', '-1']
const tensorWords = ['"dtype":"F64"', '"I64"', '"shape":[0]', '"__metadata__":{}', ...jsonWords]
const every = <T>(files: Promise<T>[]): Promise<T[]> => Promise.all(files)

/** See the head of this file. */
export const ownReaders: readonly Reader[] = [
  {
    name: 'predictor',
    read: fromFile('predictor.safetensors', async (path) => {
      const predictor = await openPredictor(path, await reference)
      try {
        return [predictor.config, predictorTensors(predictor)]
      } finally {
        predictor.dispose()
      }
    }),
    valid: async () =>
      (['shadow', 'dejavu-style', 'dejavu'] as const).flatMap((kind) =>
        ['dataset', 'none'].map((features) => {
          const config = { ...own.config, kind, features, top: [0.5] }
          return own.predictorFile(config, config)
        }),
      ),
    words: [...tensorWords, '\\"layers\\":1', '\\"pooling\\":\\"attention\\"', '\\"width\\":16777216'],
    repair: repairSafetensors,
  },
  {
    name: 'mask',
    read: fromFile('mask.safetensors', (path) => readMask(path, own.maskShape)),
    valid: async () => [own.tensorFile(own.maskTensors)],
    words: tensorWords,
    repair: repairSafetensors,
  },
  {
    name: 'session',
    read: fromFile('a.session', async (path) => {
      const model = await sessionModel()
      try {
        const { content, ...about } = await readSession(path, {
          config: own.runConfig,
          hash: own.sessionHash,
        })
        // What is read can be gone on with.
        if (content.state) model.resume(content.state.sequence).dispose()
        return [about, content]
      } finally {
        model.dispose()
      }
    }),
    valid: async () => [
      own.sessionFile(),
      own.sessionFile(
        { kind: 'chat', messages: [{ role: 'user', content: 'a' }], sequence: null },
        undefined,
        new Map(),
      ),
    ],
    words: [
      ...tensorWords,
      '\\"length\\":1',
      '\\"storage\\":\\"int8\\"',
      '\\"mode\\":\\"skip\\"',
      '"I8"',
      '"I32"',
    ],
    repair: repairSafetensors,
  },
  {
    name: 'moments',
    read: fromFile('moments.safetensors', async (path) => {
      const moments = await openMoments(path)
      try {
        return [moments.origin, await moments.read('heads', 0, 2), await moments.read('neurons', 0, 3)]
      } finally {
        await moments.close()
      }
    }),
    valid: async () => [own.momentsFile()],
    words: [...tensorWords, '"tokens":"-1"', '"windows":"1e9"', '"format":"shadowllm-moments-2"'],
    repair: repairSafetensors,
  },
  {
    name: 'moment-sums',
    read: fromFile('sums.safetensors', (path) => readSums(path, 1, own.momentWidths)),
    valid: async () => [own.sumsFile()],
    words: [...tensorWords, '"tokens":"-1"', '"windows":"1e9"', '"format":"shadowllm-moments-2"'],
    repair: repairSafetensors,
  },
  {
    name: 'parity',
    read: fromFile('results.safetensors', (path) => readParityFile(path)),
    valid: async () => [own.tensorFile(own.parityTensors)],
    words: tensorWords,
    repair: repairSafetensors,
  },
  {
    name: 'cases',
    read: fromFile('cases.safetensors', (path) => readParityCases(path)),
    valid: async () => [own.tensorFile(own.caseTensors)],
    words: tensorWords,
    repair: repairSafetensors,
  },
  {
    name: 'op-cases',
    read: fromFile('linear.safetensors', readOpCases),
    valid: async () => [callFile(), callFile({}, (tensors) => tensors.delete('0.in.rows'))],
    words: [...tensorWords, '"0.T":"', '"cases":"', '16777216', '"I32"'],
    repair: repairSafetensors,
  },
  {
    name: 'certificate',
    read: fromFile('certificate.json', readCertificate),
    valid: async () => [certificateFile()],
    words: [...jsonWords, '"kernels":', '"passed":false', '"ops":[]'],
  },
  {
    name: 'manifest',
    read: fromFile('calibration.json', async (_, folder) => {
      writeFileSync(join(folder, 'part-00000.safetensors'), await own.shardFile())
      return (await openCalibration(folder)).readAll()
    }),
    valid: async () => [concat((await storeManifest(own.manifest)).text), await own.manifestFile()],
    words: [...jsonWords, '"windows":16777216', '"shardExamples":1', '"keepSequence":false', '"groups":[]'],
  },
  {
    name: 'shard',
    read: fromFile('part.safetensors', (path) => readExamples(path, stored, { first: 0, end: 2 })),
    valid: () => every([own.shardFile()]),
    words: tensorWords,
    repair: repairShard,
  },
  {
    name: 'checkpoint',
    read: fromFile('training.safetensors', async (_, folder) => {
      const checkpoint = await openCheckpoint(folder)
      try {
        return await checkpoint.read({ settings: own.runSettings, config: own.runConfig, data: 'f00d' })
      } finally {
        await checkpoint.close()
      }
    }),
    valid: async () => [own.checkpointFile()],
    words: [...tensorWords, '"step":"-1"', '"settings":"{}"', '\\"steps\\":{}'],
    usage: ['RESUME'],
    repair: repairSafetensors,
  },
  {
    name: 'curve',
    read: fromFile('loss.jsonl', (_, folder) => readCurve(folder)),
    valid: async () => [concat('{"step":0,"heldOut":6}\n{"step":1,"loss":5,"norm":1,"rate":0.1}\n')],
    words: [...jsonWords, '\n', '"step"', '"loss"'],
    readsPrefixes: true,
  },
  {
    name: 'part',
    read: fromFile(`${key}.json`, async (_, folder) =>
      (await openPartStore(folder)).json(own.partDescription, () => 'made again'),
    ),
    valid: () => every([own.partFile('{"a":[1,2]}')]),
    words: [...jsonWords, ',"value":', '}'],
    readsPrefixes: true,
    repair: repairPart,
  },
  {
    name: 'part-files',
    read: fromFile('store.json', readPartFiles),
    valid: () => every([own.partFile('{"folder":"x","files":{"a":"b"}}')]),
    words: [...jsonWords, '../', '"folder":"..', '"files":{}'],
    readsPrefixes: true,
    repair: repairPart,
  },
  {
    name: 'rows',
    read: async (bytes) => askTasks(await parseRows(bytes, 'rows')),
    valid: async () => [concat(own.rowLines), concat(own.taskLines)],
    words: [...jsonWords, '\n', '\r\n', '"goal"', '"label":', '"choice1"'],
    readsPrefixes: true,
  },
  {
    name: 'parquet',
    read: fromFile('rows.parquet', async (path) => askTasks((await readRows(path)).rows)),
    valid: async () => [own.parquetFile('SNAPPY'), own.parquetFile('UNCOMPRESSED')],
    words: ['PAR1', '\xff\xff\xff\xff\x0f', '\x15\x80\x80\x80\x80\x08', '\0\0\0\0'],
  },
]

/** Every call of a file. */
async function readOpCases(path: string): Promise<unknown> {
  const cases = await openOpFile(path, 'linear')
  try {
    const read: unknown[] = []
    for (let index = 0; index < cases.count; index++) read.push(await cases.read(index))
    return read
  } finally {
    await cases.close()
  }
}

/** Asks a store for files, beside a folder that is not the store's to touch. */
async function readPartFiles(file: string, folder: string): Promise<unknown> {
  const [store, victim] = [join(folder, 'store'), join(folder, 'victim')]
  for (const path of [store, victim]) mkdirSync(path, { recursive: true })
  writeFileSync(join(victim, 'kept'), 'kept')
  rmSync(join(store, `${key}.files.json`), { force: true })
  renameSync(file, join(store, `${key}.files.json`))
  const made = await (
    await openPartStore(store)
  ).files(own.partDescription, (place) => writeFileSync(join(place, 'made'), 'made'))
  if (!made.startsWith(join(store, key))) throw new RangeError('files outside of the store')
  if (!existsSync(join(victim, 'kept'))) throw new RangeError('a folder beside the store was removed')
  return existsSync(join(made, 'made'))
}
