/**
 * The codes of all errors as Markdown, from the places of the sources that throw them. A code is the text that is given for a parameter
 * or a property named `code`, and its meaning is the message that is given with it.
 */

import { readFileSync } from 'node:fs'
import { CommanderError } from 'commander'
import { describeFailure, exitCodes } from '../../src/cli/failure.ts'
import { HubError, InputError, MissingError, ShadowError, UsageError } from '../../src/tensor/errors.ts'
import { JobError } from '../../src/jobs/job_error.ts'
import { RequestError } from '../../src/server/request_error.ts'
import { escaped } from './flags.ts'
import {
  parseModule,
  place,
  readSources,
  root,
  walk,
  type Module,
  type Node,
} from '../../spec/harness/syntax.ts'

/** A place where a code is given. */
interface Site {
  readonly code: string
  readonly path: string
  /** The class of the error; a command that ends without one has its exit code alone. */
  readonly kind: string
  readonly exitCode: number
  /** What is said there, with … for what differs from call to call; empty where it is not written out. */
  readonly words: string
}

/** A function that takes a code, the names of its parameters, and the code that it has by default. */
interface Taker {
  readonly module: Module
  readonly name: string
  readonly at: number
  readonly params: readonly string[]
  readonly node: Node
}

const CODE = /^(?=.*[A-Z]{2})[A-Z][A-Z0-9_]*$/

/** What a message says that says nothing. */
const EMPTY = /^(?:(?:expected|got|or|and|from|to|one of)\b|[^a-zA-Z])*$/

/** The exit code of each class of errors. */
const classes: ReadonlyMap<string, number> = new Map(
  [UsageError, InputError, MissingError, HubError, JobError].map((Kind) => [
    Kind.name,
    new Kind('', '').exitCode,
  ]),
).set(RequestError.name, new RequestError(400, '', '').exitCode)

const listOf = (value: unknown): readonly Node[] => (value ?? []) as readonly Node[]
const inner = (node: Node, field: string): Node => node[field] as Node

/** The name of what is called or declared, `#` of a private one among it. */
function nameOf(node: Node | null | undefined): string {
  if (!node) return ''
  if (node.type === 'MemberExpression') return nameOf(inner(node, 'property'))
  if (node.type === 'PrivateIdentifier') return `#${String(node.name)}`
  return typeof node.name === 'string' ? node.name : nameOf((node.id ?? node.key) as Node | undefined)
}

/** A parameter without its default and its modifiers. */
function plainParam(param: Node): Node {
  if (param.type === 'AssignmentPattern') return inner(param, 'left')
  return param.type === 'TSParameterProperty' ? plainParam(inner(param, 'parameter')) : param
}

/** Calls `visit` on every node of a module, with all nodes around it, the nearest first. */
function visitAll(module: Module, visit: (node: Node, around: readonly Node[]) => void): void {
  for (const top of module.body) {
    const around = new Map<Node, readonly Node[]>()
    walk(top, (node, parent) => {
      const outer = parent === null ? [] : [parent, ...(around.get(parent) ?? [])]
      around.set(node, outer)
      visit(node, outer)
    })
  }
}

/** Every function of the modules that has a parameter named `code`. */
function takersOf(modules: readonly Module[]): Taker[] {
  return modules.flatMap((module) => {
    const found: Taker[] = []
    visitAll(module, (node, around) => {
      if (!/Function|TSAbstractMethod/.test(node.type)) return
      const params = listOf(node.params).map((param) => nameOf(plainParam(param)))
      const own = nameOf(node) || nameOf(around[0])
      const name = own === 'constructor' ? nameOf(around[2]) : own
      const at = params.indexOf('code')
      if (at >= 0) found.push({ module, name, at, params, node })
    })
    return found
  })
}

/** The codes that an expression may be. @param module where a constant may stand that it names */
function codesOf(node: Node | undefined, constants: ReadonlyMap<string, string>, module: Module): string[] {
  if (node === undefined) return []
  const both = (...fields: string[]): string[] =>
    fields.flatMap((field) => codesOf(inner(node, field), constants, module))
  if (node.type === 'Literal') return [String(node.value)].filter((text) => CODE.test(text))
  if (node.type === 'ConditionalExpression') return both('consequent', 'alternate')
  if (node.type === 'LogicalExpression') return both('left', 'right')
  if (node.type !== 'Identifier') return []
  const constant = constants.get(nameOf(node))
  return constant === undefined ? codesOf(declaredAs(node, module), constants, module) : [constant]
}

/** What a name stands for that a module declares above. */
function declaredAs(name: Node, module: Module): Node | undefined {
  let declared: Node | undefined
  visitAll(module, (one) => {
    if (
      one.type === 'VariableDeclarator' &&
      nameOf(inner(one, 'id')) === nameOf(name) &&
      one.start < name.start
    )
      declared = (one.init as Node | null) ?? undefined
  })
  return declared
}

/** What an expression says, with … for its parts that are computed. @param module where a constant may stand that it names */
function wordsOf(node: Node | undefined, module: Module): string {
  if (node?.type === 'Literal') return String(node.value)
  if (node?.type === 'TemplateLiteral')
    return listOf(node.quasis)
      .map((part) => (part.value as { cooked: string }).cooked)
      .join('…')
  if (node?.type === 'BinaryExpression')
    return wordsOf(inner(node, 'left'), module) + wordsOf(inner(node, 'right'), module)
  if (node?.type === 'ConditionalExpression') return wordsOf(inner(node, 'consequent'), module)
  if (node?.type !== 'Identifier') return '…'
  const declared = declaredAs(node, module)
  return declared === undefined ? '…' : wordsOf(declared, module)
}

/** The message of a call, by the names that its function gives the arguments behind the code. */
function messageOf({ at, params, node, module: own }: Taker, given: readonly Node[], module: Module): string {
  const of = (...names: string[]): string => {
    const i = params.findIndex((name, i) => i !== at && names.includes(name))
    const { type, right } = i < 0 ? ({} as Partial<Node>) : listOf(node.params)[i]
    const otherwise = type === 'AssignmentPattern' ? (right as Node) : undefined
    const said = i < 0 ? '' : wordsOf(given[i] ?? otherwise, module)
    return said === '…' ? '' : said
  }
  let words = ''
  walk(node, (part) => {
    const made = part.type === 'Property' ? part.value : part.type === 'VariableDeclarator' ? part.init : null
    const isWords = made !== null && nameOf((part.key ?? part.id) as Node) === 'words'
    if (isWords) words ||= wordsOf(made as Node, own)
  })
  const expected = of('expected', 'words') || words.replace(/…+$/, '…')
  return of('message') || `expected ${expected}`
}

/** Whether an expression is a code that was given to a function, or that of another error. */
const isHandedOn = (node: Node): boolean => nameOf(node) === 'code'

/** What Throws lines say of codes, such as `RESULT if there is none`: by code, and by path and code. */
function thrownWords(modules: readonly Module[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const { path, comments } of modules)
    for (const { value } of comments)
      for (const [, line] of value.replaceAll(/\s*\n\s*\*\s*/g, ' ').matchAll(/@throws ([^@]*)/g))
        for (const [, code, words] of line.matchAll(
          /\b([A-Z][A-Z0-9_]*[A-Z]) ((?:if|for|when|unless) [^;]*?)(?=[;.,](?:\s|$)|\s*$)/g,
        ))
          for (const key of [code, `${path} ${code}`]) if (!found.has(key)) found.set(key, words.trim())
  return found
}

/** What stands beside a code in an object tells the class of the error that is made of both, and what it says. */
function besideOf(object: Node, module: Module): readonly [kind: string, words: string] {
  const fields = new Map(
    listOf(object.properties).map((field) => [nameOf(field), field.value as Node | undefined]),
  )
  if (fields.has('unit'))
    return [RequestError.name, `expected at most … ${wordsOf(fields.get('unit'), module)}`]
  if (fields.has('subject'))
    return [
      nameOf(fields.get('error')) || InputError.name,
      'expected fields that a file of this kind has, each in its form',
    ]
  const words = fields.has('words') ? wordsOf(fields.get('words'), module) : ''
  return [UsageError.name, words && `expected ${words}`]
}

/** Whether an object is what a client of the server sees of an error, which has its code. */
const isAnswer = (object: Node): boolean =>
  listOf(object.properties).some((field) => nameOf(field) === 'message')

/** The name of the option, property or constant that is made there. */
function ownerOf(around: readonly Node[]): string {
  const owner = around.find(({ type }) => type === 'Property' || type === 'VariableDeclarator')
  return nameOf((owner?.key ?? owner?.id) as Node | undefined).replace(/Option$/, '')
}

/** The exit code that stands beside a code in an object, as `exitCodes.usage`. */
function endOf(object: Node | undefined): number {
  let end = NaN
  if (object)
    walk(object, (node) => {
      if (node.type === 'MemberExpression' && nameOf(inner(node, 'object')) === 'exitCodes')
        end = exitCodes[nameOf(node) as keyof typeof exitCodes]
    })
  return end
}

/** Every place of the sources that gives a code. */
function sitesOf(modules: readonly Module[]): Site[] {
  const takers = takersOf(modules)
  const constants = new Map<string, string>()
  for (const module of modules)
    visitAll(module, (node) => {
      const init = node.init as Node | null
      if (
        node.type !== 'VariableDeclarator' ||
        init?.type !== 'Literal' ||
        nameOf(inner(node, 'id')) !== init.value
      )
        return
      constants.set(init.value as string, init.value as string)
    })
  /** The functions that a call may be of, those of its own module first. */
  const takersFor = (callee: Node, { path }: Module): Taker[] => {
    const named = takers.filter(({ name }) => name === nameOf(callee))
    return named.toSorted((a, b) => Number(b.module.path === path) - Number(a.module.path === path))
  }
  /** The class of the errors that a function makes; options make a UsageError when they are checked. */
  const kindOf = (taker: Taker, seen: readonly Taker[] = []): string => {
    if (classes.has(taker.name)) return taker.name
    const returned = taker.node.returnType as { typeAnnotation: { typeName?: Node } } | null | undefined
    const declared = nameOf(returned?.typeAnnotation.typeName)
    let kind = classes.has(declared) ? declared : ''
    walk(taker.node, (node) => {
      if (kind !== '' || seen.includes(taker)) return
      if (
        node.type === 'ObjectExpression' &&
        listOf(node.properties).some((field) => nameOf(field) === 'subject')
      )
        kind = besideOf(node, taker.module)[0]
      if (!/^(?:Call|New)Expression$/.test(node.type)) return
      const callee = inner(node, 'callee')
      const [next] = takersFor(callee, taker.module)
      if (classes.has(nameOf(callee))) kind = nameOf(callee)
      else if (next) kind = kindOf(next, [...seen, taker])
    })
    return kind
  }
  return modules.flatMap((module) => {
    const sites: Site[] = []
    const add = (codes: readonly string[], kind: string, words: string, end = classes.get(kind)): void => {
      for (const code of codes)
        sites.push({
          code,
          kind,
          path: module.path,
          exitCode: end ?? NaN,
          words: EMPTY.test(words) ? '' : words,
        })
    }
    visitAll(module, (node, around) => {
      if (/^(?:Call|New)Expression$/.test(node.type)) {
        const callee = inner(node, 'callee')
        const given = listOf(node.arguments)
        if (callee.type === 'Super') {
          const owner = around.find(({ type }) => type.startsWith('Class'))
          if (!nameOf(owner?.superClass as Node | null).endsWith('Error') || given.length === 0) return
          add(
            codesOf(given[0], constants, module),
            nameOf(owner),
            wordsOf(given[1], module),
            Number(given[2]?.value),
          )
          return
        }
        if (nameOf(callee) === ShadowError.name) {
          add(
            codesOf(given[0], constants, module),
            ShadowError.name,
            wordsOf(given[1], module),
            Number(given[2]?.value),
          )
          return
        }
        const possible = takersFor(callee, module)
        const taker = possible.find(({ at }) => codesOf(given[at], constants, module).length > 0)
        if (classes.has(nameOf(callee)) && taker === undefined && !isHandedOn(given[possible[0].at]))
          throw new InputError(
            'ERROR_CODE',
            `${place(module, node.start)}: expected a code, or a parameter or field named code, got ${module.text.slice(given[0].start, given[0].end)}`,
          )
        if (!taker) return
        const object = around.find(({ type }) => type === 'ObjectExpression')
        const end = endOf(object)
        const kind = kindOf(taker)
        const message = messageOf(taker, given, module)
        const codes = codesOf(given[taker.at], constants, module)
        if (kind !== '') add(codes, kind, message)
        else if (Number.isNaN(end)) add(codes, UsageError.name, `${ownerOf(around)}: ${message}`)
        else add(codes, '', message, end)
      }
      if (
        node.type === 'Property' &&
        nameOf(node) === 'code' &&
        around[0]?.type === 'ObjectExpression' &&
        !isAnswer(around[0])
      )
        add(codesOf(inner(node, 'value'), constants, module), ...besideOf(around[0], module))
      // A default, of a parameter or of a field that is taken apart.
      if (node.type === 'AssignmentPattern' && nameOf(inner(node, 'left')) === 'code') {
        const taker = takers.find((one) => around.includes(one.node) || one.node === around[0])
        add(codesOf(inner(node, 'right'), constants, module), (taker && kindOf(taker)) || UsageError.name, '')
      }
    })
    return sites
  })
}

/** The codes of the parser of command lines, which describeFailure spells as ours, and what it says with them. */
function parserSites(): Site[] {
  const source = readFileSync(`${root}node_modules/commander/lib/command.js`, 'utf8')
  const calls = source.matchAll(
    /const message = [`'](.*)[`'];\s*this\.error\(message, \{ code: '(commander\.\w+)'/g,
  )
  return Array.from(calls, ([, text, code]) => {
    const { line, exitCode } = describeFailure(
      new CommanderError(1, code, text.replaceAll(/\$\{.*?\}/g, '…')),
      false,
    )
    const [, words, own] = /^shadowllm: (.*) \[(\w+)\]$/.exec(line) ?? []
    return { code: own, kind: '', path: '', exitCode, words }
  })
}

/** How many of the messages that have a code are shown. */
const MESSAGES = 2

/** A code and what its messages say. @throws InputError ERROR_WORDS for a code without words */
function itemOf(code: string, sites: readonly Site[], said: ReadonlyMap<string, string>): string {
  const messages = [...new Set(sites.map(({ words }) => words).filter(Boolean))]
  const otherwise = sites.map(({ path }) => said.get(`${path} ${code}`)).find(Boolean) ?? said.get(code)
  if (messages.length === 0 && otherwise === undefined)
    throw new InputError(
      'ERROR_WORDS',
      `${code}: expected words in a Throws line of ${sites[0].path}, got none`,
    )
  const shown = messages.slice(0, MESSAGES).map((words) => `“${words}”`)
  const others = messages.length > MESSAGES ? ', and others' : ''
  const words = messages.length === 0 ? otherwise : shown.join(', ') + others
  return `- \`${code}\`: ${escaped(words ?? '')}`
}

/**
 * Every code that is thrown, below its class and exit code.
 * @throws InputError ERROR_WORDS, or ERROR_CODE for an error whose code is not found in the sources
 */
export function errorCodes(modules: readonly Module[] = readSources('src').map(parseModule)): string {
  const said = thrownWords(modules)
  const sites = [...sitesOf(modules), ...parserSites()]
  const kinds = Map.groupBy(
    sites,
    ({ kind, exitCode }) => `### ${kind || 'Commands alone'}: exit code ${exitCode}`,
  )
  const sections = [...kinds].toSorted(([, [a]], [, [b]]) => a.exitCode - b.exitCode)
  return sections
    .flatMap(([heading, ofKind]) => {
      const codes = [...Map.groupBy(ofKind, ({ code }) => code)].toSorted(([a], [b]) => (a < b ? -1 : 1))
      return [heading, codes.map(([code, places]) => itemOf(code, places, said)).join('\n')]
    })
    .join('\n\n')
}

/** What each exit code means, as the head of failure.ts lists them. */
export function exitCodeList(): string {
  const [head] = readFileSync(`${root}src/cli/failure.ts`, 'utf8').split('*/')
  const rows = head.matchAll(/^ \* {3}(\d+) +(.*)$/gm)
  return Array.from(rows, ([, code, words]) => `- \`${code}\`: ${words}`).join('\n')
}
