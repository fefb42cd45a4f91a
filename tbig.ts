import { Random } from './src/tensor/random.ts'
import { createTokenizer } from './src/io/tokenizer.ts'
import { parseTokenizerJson } from './src/io/tokenizer_json.ts'
import { encodeTokenizerJson } from './src/io/tokenizer_json_writer.ts'
import { byteTokens, SPACE_MARK } from './src/io/vocabulary.ts'
import { encodeGguf } from './spec/io/gguf_file.ts'
import { readGgufHeader } from './src/io/gguf.ts'
import { GgufEntries } from './src/io/gguf_entries.ts'
import { readGgufVocabulary } from './src/io/gguf_tokenizer.ts'
import { bytesAsFile } from './src/io/files.ts'
const random = new Random(1)
const letters = [...'etaoinshrdlucmfwypvbgkjqxz', SPACE_MARK]
const whole = [...Array.from({length: 30}, (_, i) => '\n'.repeat(i+1)), ...Array.from({length: 30}, (_, i) => SPACE_MARK.repeat(i+2))]
const tokens = ['<pad>','</s>','<s>','<unk>', ...whole, ...byteTokens, ...letters]
for (let c = 0x4e00; tokens.length < 8000; c++) tokens.push(String.fromCharCode(c))
const known = new Set(tokens)
const words: string[] = letters.slice()
while (tokens.length < 262144) {
  const a = words[Math.floor(random.uniform() ** 2 * words.length)], b = words[Math.floor(random.uniform() ** 2 * words.length)]
  const t = a + b
  if (known.has(t) || t.length > 14 || t.slice(1).includes(SPACE_MARK)) continue
  known.add(t); tokens.push(t); words.push(t)
}
const scores = Float32Array.from(tokens, (_, i) => (i < 400 ? 0 : 400 - i))
const types = Int32Array.from(tokens, (_, i) => i === 3 ? 2 : i < 4 ? 3 : i < 4 + whole.length ? 4 : i < 4 + whole.length + 256 ? 6 : 1)
const bytes = encodeGguf(Object.entries({ 'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.tokens': tokens, 'tokenizer.ggml.scores': scores, 'tokenizer.ggml.token_type': types, 'tokenizer.ggml.add_space_prefix': false, 'tokenizer.ggml.bos_token_id': 2 }), [])
const t0 = performance.now(); const ms = () => (performance.now() - t0).toFixed(0)
for (let i = 0; i < 3; i++) {
console.log('start', ms())
const header = await readGgufHeader(bytesAsFile(bytes), 'f'); console.log('header', ms())
const v = readGgufVocabulary(new GgufEntries(header.entries, 'f'), 'f')!; console.log('vocabulary', ms(), v.merges.length)
const t = createTokenizer(v); console.log('tokenizer', ms())
const text = 'the rain in spain stays mainly in the plain '.repeat(500); t.encode(text); console.log('encode', ms())
if (i === 2) { const json = new TextEncoder().encode(encodeTokenizerJson(v)); console.log('json bytes', json.length, ms())
const w = parseTokenizerJson(json); console.log('parse json', ms()); createTokenizer(w); console.log('tokenizer', ms()) }
}
