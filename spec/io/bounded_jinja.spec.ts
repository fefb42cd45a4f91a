/**
 * Chat templates as programs of strangers: what renders is what the library renders, and what takes too
 * much is refused.
 */
import { Template } from '@huggingface/jinja'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { renderTemplate } from '../../src/io/bounded_jinja.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { killsEach, lawForAll, lawOf, stateLaw } from '../harness/seed.ts'

type Render = typeof renderTemplate

const unbounded: Render = (source, variables) =>
  (new Template(source) as unknown as { render(of: object): string }).render(variables)

// ---- What renders -----------------------------------------------------------------------------------------

/** Templates in the ways of the models in use. */
const templates: readonly string[] = [
  // ChatML
  `{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`,
  // Llama 2
  `{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}`,
  // Llama 3
  `{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}`,
  // Qwen 2.5, its parts for tools
  `{%- if tools %}{{- tools | tojson }}{%- endif %}{%- for message in messages %}{%- if (message.role == "user") or (message.role == "system" and not loop.first) %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{%- elif message.role == "assistant" and not message.tool_calls %}{{- message.content.split('</think>')[-1].lstrip() }}{%- endif %}{%- endfor %}`,
  // A namespace, a macro, a call block, a filter block, and filters with arguments
  `{%- set ns = namespace(last=-1, found=false) -%}{%- macro show(text, width=2) -%}[{{ text | indent(width) }}]{%- endmacro -%}{%- for m in messages if m.content -%}{%- set ns.last = loop.index0 -%}{{ show(m.content) }}{{ show(width=4, text=m.role) }}{%- else -%}none{%- endfor -%}{% call show('x') %}{% endcall %}{% filter replace('a', 'bb') %}{{ messages | map(attribute='role') | join(', ') }}{% endfilter %}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ ns.last }}{{ [3, 1, 2] | sort | join('-') }}{{ {'a': [1, {'b': none}]} | tojson(indent=2) }}{{ range(3) | list }}{{ 'a' in 'cat' }}{{ 'user' in messages[0] }}{{ messages[0]['content']['upper']() }}`,
]

const someText = fc.string({
  unit: fc.constantFrom('a', ' ', '\n', '<', '{', '%', '}', '_', '😀'),
  maxLength: 12,
})
const someMessages = fc.array(
  fc.record({ role: fc.constantFrom('system', 'user', 'assistant'), content: someText }),
  { minLength: 1, maxLength: 5 },
)

/** Bounds change nothing of what keeps them. */
const rendersAsTheLibrary = lawForAll(
  'a template within its bounds renders as the library renders it',
  { template: fc.constantFrom(...templates), messages: someMessages },
  (of: Render, { template, messages }) => {
    const variables = {
      messages,
      add_generation_prompt: true,
      bos_token: '<s>',
      eos_token: '</s>',
      tools: null,
    }
    expect(of(template, variables)).toBe(unbounded(template, variables))
  },
)
stateLaw(rendersAsTheLibrary, renderTemplate)

killsEach(
  'a renderer that %s is found',
  lawOf(
    rendersAsTheLibrary,
    (change: (text: string) => string) => (source, variables) => change(renderTemplate(source, variables)),
  ),
  {
    escapes: (text) => text.replaceAll('<', '&lt;'),
    'drops the last line break': (text) => text.replace(/\n$/, ''),
  },
)

test('names of JavaScript are names without a value, and text', () => {
  const messages = [{ role: 'constructor', content: '__proto__' }]
  const source =
    "{{ __proto__ }}{{ constructor }}{{ messages.__proto__ }}{{ messages[0]['__proto__'] }}{{ messages[0].toString }}{{ messages[0].role }} {{ messages[0].content }}"
  expect(renderTemplate(source, { messages })).toBe('constructor __proto__')
  const own: Record<string, unknown> = JSON.parse('{"__proto__": {"x": 1}}')
  expect(renderTemplate('{{ own | tojson }}{{ own.x }}', { own })).toBe('{"__proto__": {"x": 1}}')
})

test('the date is fixed', () => {
  const source = "{{ strftime_now('%d %b %Y, %A %d %B, %H:%M:%S %%') }}"
  expect(renderTemplate(source, {})).toBe('26 Jul 2024, Friday 26 July, 00:00:00 %')
})

// ---- What is refused --------------------------------------------------------------------------------------

const repeated = (text: string, times: number): string => text.repeat(times)

/** What takes too much, and why. */
const greedy: Readonly<Record<string, string>> = {
  'a long source': repeated('x', 2 ** 16 + 1),
  'a long run of spaces': `{{ 1 }}${repeated(' ', 1000)}`,
  'deep brackets': `{{ ${repeated('(', 20_000)}`,
  'a long range': '{{ range(1000000) }}',
  'loops in loops': '{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}',
  'loops without a body': '{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}',
  'a string that doubles': `{% set a = "xxxxxxxx" %}${repeated('{% set a = a + a %}', 40)}`,
  'a list in itself twice': `{% set a = [1] %}${repeated('{% set a = [a, a] %}', 40)}{{ a }}`,
  'the same as JSON': `{% set a = [1] %}${repeated('{% set a = [a, a] %}', 40)}{{ a | tojson }}`,
  'a namespace in itself': '{% set n = namespace(a=1) %}{% set n.a = n %}{{ n }}',
  'replace as a method': `{% set a = "x" %}${repeated('{% set a = a.replace("x", "xxxxxxxx") %}', 30)}`,
  'replace by its name in a string': `{% set a = "x" %}${repeated('{% set a = a["replace"]("x", "xxxxxxxx") %}', 30)}`,
  'replace as a filter': `{% set a = "x" %}${repeated('{% set a = a | replace("x", "xxxxxxxx") %}', 30)}`,
  'replace in a filter block': `{% set a = "x" %}${repeated('{% set a %}{% filter replace("x", "xxxxxxxx") %}{{ a }}{% endfilter %}{% endset %}', 30)}`,
  'arguments in a list': `{% set a = "x" %}${repeated('{% set a = a.replace(*["x", "xxxxxxxx"]) %}', 30)}`,
  'join with a long text': `{% set s = "x" %}${repeated('{% set s = s + s %}', 20)}{{ range(9999) | join(s) }}`,
  'a wide indent': '{{ "a\nb" | indent(500000000) }}',
  'a wide indent by name': '{{ "a\nb" | indent(width=500000000) }}',
  'JSON with a wide indent': '{{ [1, 2] | tojson(indent=500000000) }}',
  'macros that call themselves twice':
    '{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}',
  'macros without an end': '{% set n = namespace() %}{% macro f(f) %}{{ f(f) }}{% endmacro %}{{ f(f) }}',
  'macros declared in a loop': `{% for a in range(9999) %}{% macro g() %}${repeated('{{ 1 }}', 5000)}{% endmacro %}{% endfor %}`,
  'a list made text again and again': `{% set l = range(9999) %}{% set l = [l, l, l, l, l, l, l, l] %}${repeated('{% set x %}{{ l }}{% endset %}', 400)}`,
  'a list compared with a text': `{% set l = range(9999) %}{% set l = [l, l, l, l, l, l, l, l] %}${repeated("{{ 'x' == l }}", 400)}`,
  'a list beside a text': `{% set l = range(9999) %}{% set l = [l, l, l, l, l, l, l, l] %}${repeated("{% set x = l ~ '' %}", 400)}`,
  'a list of characters, split again and again': `{% set a = "a " %}${repeated('{% set a = a + a %}', 19)}${repeated('{% set x = a.split(" ") %}', 60)}`,
  'characters listed again and again': `{% set a = "a " %}${repeated('{% set a = a + a %}', 19)}${repeated('{% set x = a | list %}', 60)}`,
  'slices of a long text': `{% set a = "a " %}${repeated('{% set a = a + a %}', 19)}${repeated('{% set x = a[::2] %}', 60)}`,
  'a search that starts over': `{% set a = "a" %}${repeated('{% set a = a + a %}', 21)}{% set b = "b" + a[:1000000] %}{{ b in a }}`,
}

type Outcome = 'renders' | 'refused' | 'another error'
function outcome(render: Render, source: string): Outcome {
  try {
    render(source, { messages: [] })
    return 'renders'
  } catch (error) {
    return error instanceof InputError && error.code === 'CHAT_TEMPLATE_LIMIT' ? 'refused' : 'another error'
  }
}

describe('a template that takes too much is refused', () => {
  // Five seconds at most on an idle machine; without bounds they would take hours.
  test.each(Object.keys(greedy))('%s', (name) =>
    expect(outcome(renderTemplate, greedy[name])).toBe('refused'),
  )

  test.each([
    'a long source',
    'a long run of spaces',
    'deep brackets',
    'a namespace in itself',
    'a long range',
  ])('the library alone does not refuse %s', (name) =>
    expect(outcome(unbounded, greedy[name])).not.toBe('refused'),
  )
})

/** The longest text that these operations of the runtime make while something runs. */
function longestMade(work: () => void): number {
  let longest = 0
  const { repeat, replaceAll } = String.prototype
  const { join } = Array.prototype
  const noting = <Args extends unknown[]>(make: (this: unknown, ...args: Args) => string) =>
    function (this: unknown, ...args: Args): string {
      const text = make.apply(this, args)
      longest = Math.max(longest, text.length)
      return text
    }
  Object.assign(String.prototype, {
    repeat: noting(repeat),
    replaceAll: noting(replaceAll as (this: unknown, ...args: unknown[]) => string),
  })
  Object.assign(Array.prototype, { join: noting(join) })
  try {
    work()
  } finally {
    Object.assign(String.prototype, { repeat, replaceAll })
    Object.assign(Array.prototype, { join })
  }
  return longest
}

/** The longest text of a template, in characters. */
const MOST = 2 ** 22
const growing = [
  '{{ text | replace("x", part) }}',
  '{{ text.replace("x", part) }}',
  '{% filter replace("x", part) %}{{ text }}{% endfilter %}',
  '{{ list | join(part) }}',
  '{{ lines | indent(count) }}',
  '{{ lines | indent(width=count) }}',
  '{{ "x" | indent(count, true) }}',
  '{{ list | tojson(indent=count) }}',
  '{{ lines | indent(part) }}',
] as const

const isRefusedBefore = lawForAll(
  'an operation whose result is too long is refused before it runs',
  {
    source: fc.constantFrom(...growing),
    times: fc.constantFrom(1, 30, 1000, 4000),
    count: fc.constantFrom(0, 1, 1000, 5000, 10_000_000),
  },
  (of: Render, { source, times, count }) => {
    const [text, lines, part] = ['x'.repeat(times), 'x\n'.repeat(times), 'y'.repeat(Math.min(count, 10_000))]
    const list = Array.from({ length: times }, () => 'x')
    const made = longestMade(() => {
      try {
        of(source, { text, lines, part, list, count })
      } catch (error) {
        if (!(error instanceof InputError)) throw error
      }
    })
    expect(made).toBeLessThanOrEqual(MOST)
  },
)
stateLaw(isRefusedBefore, renderTemplate)

killsEach('a renderer that %s is found', isRefusedBefore, {
  'looks at what was made': (source, variables) => {
    const text = unbounded(source, variables)
    if (text.length <= MOST) return text
    throw new InputError('CHAT_TEMPLATE_LIMIT', 'chat template: expected less, got more')
  },
})

test.each([
  ['CHAT_TEMPLATE_SYNTAX', '{% if %}', 'expected a Jinja template, got the error'],
  ['CHAT_TEMPLATE_SYNTAX', '{{ "', 'Unexpected end of input'],
  [
    'CHAT_TEMPLATE_REFUSED',
    "{{ raise_exception('no\nsystem') }}",
    'messages: expected what the chat template accepts',
  ],
  ['CHAT_TEMPLATE_RUN', '{{ foo() }}', 'chat template: expected operations that succeed'],
  ['CHAT_TEMPLATE_RUN', '{{ none.x.y }}{{ 1 + none }}', 'null'],
  ['CHAT_TEMPLATE_RUN', '{% set f = "a".replace %}{{ f("a", "b") }}', 'called at once'],
  ['CHAT_TEMPLATE_RUN', '{{ [] | first | upper }}', 'got'],
  ['CHAT_TEMPLATE_RUN', '{% break %}', 'got an error'],
  ['CHAT_TEMPLATE_RUN', '{{ range(0, 5, 0) }}', 'range()'],
])('%s is the error of %s, in one line', (code, source, words) => {
  const render = (): string => renderTemplate(source, {})
  expect(render).toThrow(expect.objectContaining({ code, exitCode: 3 }))
  expect(render).toThrow(words)
  expect(render).toThrow(/^[^\n]*$/)
})
