/**
 * The readers of what is neither a model nor made from one: jobs, traces of the page, chat templates, texts of data sets.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { smallTokenizer } from '../../fixtures/hostile/tokenizer.ts'
import { concat } from '../../fixtures/hostile/bytes.ts'
import { encodeUnits, encodeWindows, parseUnits, parseWindows } from '../../src/calibration/job_inputs.ts'
import { readText } from '../../src/data/texts.ts'
import { readWikitext } from '../../src/data/wikitext.ts'
import { parseScores, parseTexts } from '../../src/evaluation/jobs/evaluate_job.ts'
import { chatPrompt } from '../../src/io/chat_prompt.ts'
import { openChatTemplate, openGenerationConfig, type ChatTemplate } from '../../src/io/chat_template.ts'
import { createTokenizer } from '../../src/io/tokenizer.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { jobIdOf, parseQueuedJob, splitJoined } from '../../src/jobs/queued_job.ts'
import { jobKey, jobText, parseJob, type Job } from '../../src/jobs/job.ts'
import { denseMethod, makeMethod } from '../../src/results/method.ts'
import { encodeTrace, parseTrace } from '../../src/web/trace/trace_file.ts'
import type { Trace } from '../../src/web/trace/trace.ts'
import type { Reader } from './reader.ts'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** Writes the bytes into a file of this name and reads its folder. */
const inFolder =
  (name: string, read: (folder: string) => Promise<unknown>) =>
  async (bytes: Uint8Array, folder: string): Promise<unknown> => {
    writeFileSync(join(folder, name), bytes)
    return read(folder)
  }

const job: Job = {
  kind: 'evaluate',
  settings: { model: 'm', seeds: [1, 2, 3], mode: 'exact', methods: [{ planner: 'random', sparsity: 0.5 }] },
  files: { texts: '0'.repeat(64), by: '1'.repeat(64) },
}

const trace: Trace = {
  model: { name: 'tiny', shape: { layers: 2, heads: 3, neurons: 4 }, width: 12 },
  settings: {
    planner: 'shadow',
    criterion: 'plainact',
    decides: 'once',
    sparsity: 0.5,
    scope: 'global',
    temperature: 0,
    seed: 1,
  },
  ranks: null,
  denseLayers: 1,
  switches: [{ unit: { kind: 'heads', layer: 1, index: 2 }, on: false }],
  prompt: Int32Array.of(1, 2, 3, 4, 5),
  pieces: ['a', 'b', 'c', 'd', 'e'],
  columns: Array.from({ length: 6 }, (_, i) => ({
    token: i,
    text: `t${i}`,
    dense: { token: i, text: 'd' },
    kl: 0.5,
  })),
  decisions: [
    { shape: { layers: 2, heads: 3, neurons: 4 }, heads: new Float32Array(6), neurons: new Float32Array(8) },
  ],
  oracleScores: null,
  divergence: 2,
  rounds: { sparse: [2], dense: [3] },
}

const windows = [
  { document: 'a', genre: 'prose', promptLength: 1, words: 2, tokens: Int32Array.of(1, 2, 3) },
  { document: 'b', genre: 'verse', promptLength: 2, words: 3, tokens: Int32Array.of(4, 5, 6, 7) },
]
const scored = [
  { windows: [{ tokens: Int32Array.of(1, 2, 3), promptLength: 1, words: 0 }], known: 0, seed: 1 },
]
const share = { heads: 0.5, neurons: 0.5, weights: 0.5 }
const score = { nll: 1.5, tokens: 2, words: 0, achieved: { ...share, layers: [share, share] } }

const tokenizer = createTokenizer(parseTokenizerJson(concat(JSON.stringify(smallTokenizer))))
/** What a model of this template reads of a chat. */
const chat = (template: ChatTemplate | null): unknown =>
  template && chatPrompt(template, tokenizer, [{ role: 'user', content: 'abc abc' }])
const source =
  "{% for message in messages %}{{ bos_token + message['role'] + ' ' + message['content'] | trim }}{% endfor %}"
const jsonWords = ['{"', '":', '[[', '__proto__', 'constructor', '\\ud800', '1e400', '\ufeff', 'null', '-1']

/** See the head of this file. */
export const otherReaders: readonly Reader[] = [
  {
    name: 'job',
    read: async (bytes) => parseJob(text(bytes), 'job'),
    valid: async () => [concat(jobText(job))],
    words: jsonWords,
  },
  {
    name: 'queued-job',
    read: async (bytes) => {
      const data = text(bytes)
      // The right id, where the text is that of a job: else the id is what is refused.
      const id = await jobKey(parseJob(data, 'job')).then(jobIdOf)
      return parseQueuedJob(id, { shard: data })
    },
    valid: async () => [concat(jobText(job))],
    words: jsonWords,
  },
  {
    name: 'joined-results',
    read: async (bytes) => splitJoined(bytes, 2),
    valid: async () => [concat([2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0], 'abb')],
  },
  {
    name: 'job-windows',
    read: async (bytes) => parseWindows(bytes),
    valid: async () => [encodeWindows(windows)],
    words: jsonWords,
  },
  {
    name: 'job-units',
    read: (bytes) => parseUnits(bytes, { layers: 2, heads: 3, neurons: 4 }),
    valid: async () => [
      encodeUnits({
        shape: { layers: 2, heads: 3, neurons: 4 },
        heads: new Float32Array(6),
        neurons: new Float32Array(8),
      }),
    ],
  },
  {
    name: 'job-texts',
    read: async (bytes) => parseTexts(bytes, { vocabulary: 1000, positions: 100_000 }),
    valid: async () => [concat('[[0,false,[[1,0,[2,5]],[1,0,[2,6]]]],[0,true,[[2,3,[2,5,7]]]]]')],
    words: jsonWords,
  },
  {
    name: 'job-scores',
    read: async (bytes) => {
      const methods = [denseMethod, makeMethod({ planner: 'random', sparsity: 0.5 })]
      return parseScores(bytes, { methods, texts: scored }, 2)
    },
    valid: async () => [concat(JSON.stringify([[[score]], [[score]]]))],
    words: jsonWords,
  },
  {
    name: 'trace',
    read: async (bytes) => parseTrace(bytes),
    valid: async () => [encodeTrace(trace)],
    words: ['"dtype":"F64"', '"shape":[0]', ...jsonWords],
  },
  {
    name: 'tokenizer-config',
    read: inFolder('tokenizer_config.json', async (folder) => chat(await openChatTemplate(folder))),
    valid: async () =>
      [
        source,
        [
          { name: 'default', template: source },
          { name: 'tools', template: '' },
        ],
      ].map((template) =>
        concat(JSON.stringify({ chat_template: template, bos_token: { content: '<s>' }, eos_token: '</s>' })),
      ),
    words: [...jsonWords, '{{', '}}', '{% for x in range(9) %}', '{% endfor %}'],
  },
  {
    name: 'chat-template',
    read: async (bytes) => chat({ source: text(bytes), bosToken: '<s>', eosToken: null }),
    valid: async () => [concat(source)],
    words: ['{{', '}}', '{% for x in range(9) %}', '{% endfor %}', '* 9', '| join'],
    readsPrefixes: true,
  },
  {
    name: 'generation-config',
    read: inFolder('generation_config.json', openGenerationConfig),
    valid: async () => [concat('{"eos_token_id":[2,3,4],"pad_token_id":1}'), concat('{"eos_token_id":2}')],
    words: jsonWords,
  },
  {
    name: 'wikitext',
    read: inFolder('wiki.test.raw', (folder) => readWikitext(join(folder, 'wiki.test.raw'))),
    valid: async () => [
      concat(
        ' \n = A title = \n \n Some text , with a " quote " , and ( brackets ) . \n = = A part = = \n More .\n',
      ),
    ],
    words: [' = ', ' @-@ ', '( ', ' )', '" '],
    readsPrefixes: true,
  },
  {
    name: 'plain-text',
    read: inFolder('text.txt', (folder) => readText(join(folder, 'text.txt'))),
    valid: async () => [concat('Once upon a time.\n\nThe end.\n')],
    readsPrefixes: true,
  },
]
