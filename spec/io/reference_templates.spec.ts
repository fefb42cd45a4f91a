/**
 * Chat templates as Jinja itself renders them (fixtures/chat-templates/README.md).
 *
 * Tests src/io/bounded_jinja.ts.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Template } from '@huggingface/jinja'
import { expect, test } from 'vitest'
import { renderTemplate } from '../../src/io/bounded_jinja.ts'

interface Chat {
  readonly name: string
  readonly messages: readonly { readonly role: string; readonly content: string }[]
  readonly add_generation_prompt?: boolean
}
interface Reference {
  readonly name: string
  readonly source: string
  /** For each chat. */
  readonly expected: readonly { readonly text?: string; readonly refused?: string }[]
}

const path = fileURLToPath(new URL('../../fixtures/chat-templates/cases.json', import.meta.url))
const { chats, templates } = JSON.parse(readFileSync(path, 'utf8')) as {
  readonly chats: readonly Chat[]
  readonly templates: readonly Reference[]
}

type Render = typeof renderTemplate

/** Whether a renderer gives for each chat what Jinja gives. */
function isRenderedBy(render: Render, { source, expected }: Reference): void {
  chats.forEach(({ name, messages, add_generation_prompt = true }, i) => {
    const variables = { messages, add_generation_prompt, bos_token: '<bos>', eos_token: '<eos>' }
    const { text, refused } = expected[i]
    const rendered = (): string => render(source, { ...variables, tools: null, documents: null })
    if (text !== undefined) expect(rendered(), name).toBe(text)
    else
      expect(rendered, name).toThrow(
        expect.objectContaining({
          code: 'CHAT_TEMPLATE_REFUSED',
          message: `messages: expected what the chat template accepts, got the error "${refused}"`,
        }) as Error,
      )
  })
}

test.each(templates)('$name: as Jinja renders it, for each chat', (template) =>
  isRenderedBy(renderTemplate, template),
)

test('the forms of Gemma and Qwen3 are among them, and each refuses some chat or none', () => {
  expect(templates.length).toBeGreaterThan(35)
  const refusals = templates.slice(0, 3).map(({ expected }) => expected.filter((one) => one.refused).length)
  expect(refusals).toEqual([2, 1, 0])
})

test.each<[string, string, Render]>([
  [
    'that strips white space whatever it is given',
    'strip of letters',
    (source, variables) =>
      (new Template(source) as unknown as { render(of: object): string }).render(variables),
  ],
  [
    'that knows no first turn',
    'turns whose first one begins with the system message',
    (source, variables) => renderTemplate(source.replace('loop.first', 'false'), variables),
  ],
  [
    'that leaves messages untrimmed',
    'turns that refuse a system message',
    (source, variables) => renderTemplate(source.replace(' | trim', ''), variables),
  ],
])('a renderer %s is found', (_bug, name, render) => {
  const template = templates.find((one) => one.name === name) as Reference
  expect(() => isRenderedBy(render, template)).toThrow()
})
