/**
 * A plugin of typedoc that gives words to what has none of its own, from where the sources say them once: a parameter or property
 * has those of the comment at the end of its line (`// [T, D]`), or those of its type where the type bears its name, as
 * `budget: Budget`, or the sentence about its function that names it. A parameter of a function, method or constructor that is still
 * without words is a warning, which ends the command; so is a type that a signature names and that has no page (`inside` lists those
 * that need none). A type of a few words lists them, each with its comment where it is listed, or
 * with the `help` of the record that bears its name; a word without is a warning where others have one. Names of the sources are
 * links, in words (of the start page too) and in types: to their page of the reference, or else to their definition, with the number of a constant. A family
 * of codes (FILE_*) is code. A property that must be given and whose words name a default is a warning.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { deflateSync, inflateSync } from 'node:zlib'
import { Comment, CommentTag, Converter, LiteralType, ReflectionKind, UnionType } from 'typedoc'
import ts from 'typescript'
import { declares, exportedNames, nameAddress, numberOfName, wordsOfName } from '../scripts/site_links.ts'

/** The parts of a comment up to the end of a sentence: the first, or the next after a word or two. */
export function beginning(parts) {
  let length = 0
  for (const [i, { kind, text }] of parts.entries()) {
    const ends = kind === 'text' ? [...text.matchAll(/\.(?=\s|$)/g)] : []
    const end = ends.find(({ index }) => length + index >= 40)
    if (end) return [...parts.slice(0, i), { kind, text: text.slice(0, end.index + 1) }]
    length += text.length
  }
  return parts
}

/** The anchor of a flag where the page of all flags explains it for the first time, the second and so on. */
export function flagAnchor(flag, count) {
  return count === 1 ? `flag-${flag}` : `flag-${flag}-${count}`
}

/** The anchor of an error's code, likewise. */
export function codeAnchor(code, count) {
  return `code-${code.toLowerCase()}${count === 1 ? '' : `-${count}`}`
}

/** Changes the data that a script of typedoc holds packed. @throws Error if it holds none */
export function repack(file, change) {
  const packed = /(?<=^window\.\w+ = ")[^"]+/
  const text = readFileSync(file, 'utf8')
  const [given] = packed.exec(text) ?? []
  if (given === undefined) throw new Error(`${file}: expected packed data of typedoc, got none`)
  const data = change(JSON.parse(inflateSync(Buffer.from(given, 'base64'))))
  writeFileSync(
    file,
    text.replace(packed, () => deflateSync(JSON.stringify(data)).toString('base64')),
  )
}

/** The type that a type is a reference to, as it is or in a list; null for another one. */
function namedType(type) {
  if (type?.type === 'reference') return type
  if (type?.type === 'optional') return namedType(type.elementType)
  if (type?.type !== 'union') return null
  const named = type.types.filter(({ type: kind, name }) => kind !== 'literal' && name !== 'undefined')
  return named.length === 1 ? namedType(named[0]) : null
}

/** The words of a type, if it bears this name. */
function wordsOfType(name, type) {
  const named = namedType(type)
  if (!named?.name.toLowerCase().endsWith(name.toLowerCase())) return []
  const target = named.reflection?.isReference?.()
    ? named.reflection.getTargetReflectionDeep()
    : named.reflection
  const own = (target?.comment ?? target?.signatures?.[0]?.comment)?.summary
  if (own?.length) return beginning(Comment.cloneDisplayParts(own))
  const words = wordsOfName(named.symbolId?.packagePath ?? '', named.name)
  return words === null ? [] : beginning([{ kind: 'text', text: words }])
}

/** The sentence of a comment that names this, as code. */
function sentenceOf(name, comment) {
  const parts = comment?.summary ?? []
  const at = parts.findIndex(({ kind, text }) => kind === 'code' && new RegExp(`\\b${name}\\b`).test(text))
  if (at < 0) return []
  const end = /[.:;](?=\s|$)/
  const before = parts.slice(0, at).findLastIndex(({ kind, text }) => kind === 'text' && end.test(text))
  const after = parts.findIndex(({ kind, text }, i) => i > at && kind === 'text' && end.test(text))
  const sentence = Comment.cloneDisplayParts(
    parts.slice(Math.max(before, 0), after < 0 ? undefined : after + 1),
  )
  if (before >= 0) sentence[0].text = sentence[0].text.split(new RegExp(end, 'g')).at(-1).trimStart()
  if (after >= 0) sentence.at(-1).text = sentence.at(-1).text.split(end)[0] + '.'
  return sentence
}

/** The words of a parameter, from what is said of its function or of the class that has it. */
function wordsOfFunction({ name, parent: signature }, exported) {
  const of = signature.parent
  const said = [signature.comment, of.comment, of.parent.comment]
  const sentence = said.map((comment) => sentenceOf(name, comment)).find(({ length }) => length > 0)
  if (sentence !== undefined) return sentence
  const overwritten = signature.overwrites?.reflection
  const summary = signature.comment?.summary.map(({ text }) => text).join('') ?? ''
  const [, kind, method] = /^As `(\w+)\.(\w+)`/.exec(summary) ?? []
  const same = exported.get(kind)?.children.find((child) => child.name === method)?.signatures[0]
  const words = (overwritten ?? same)?.parameters?.find((other) => other.name === name)?.comment?.summary
  return Comment.cloneDisplayParts(words ?? [])
}

/** The words of the comment before a node, behind what is before it. */
function commentBefore(node, start) {
  const text = node.getSourceFile().text.slice(start, node.getStart())
  const [, words] = /\/\*\*((?:(?!\*\/).)*)\*\/[^/]*$/s.exec(text) ?? []
  return words?.replaceAll(/\n\s*\*/g, '').trim() ?? ''
}

/** The values of a type and the words of each, from the list, the union, the records or the keys that it is made of. */
function valuesOf(node, checker) {
  const declared = (name) => {
    const symbol = checker.getSymbolAtLocation(name)
    return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  }
  /** What a constant is, without `as const` and the like. */
  const valueOfConstant = (name) => {
    let value = declared(name).valueDeclaration?.initializer
    while (value && (ts.isAsExpression(value) || ts.isSatisfiesExpression(value))) value = value.expression
    return value
  }
  const each = (nodes, valueOf) =>
    nodes.flatMap((one, i) => valueOf(one, commentBefore(one, i === 0 ? one.parent.pos : nodes[i - 1].end)))
  const literal = (one, words) => (ts.isStringLiteral(one) ? [[one.text, words]] : [])
  /** A record that has a name and words for help. */
  const record = (name) => {
    const { properties } = valueOfConstant(name)
    const textOf = (key) => properties.find((one) => one.name.text === key)?.initializer.text
    return [[textOf('name'), textOf('help')]]
  }
  if (ts.isParenthesizedTypeNode(node)) return valuesOf(node.type, checker)
  if (ts.isUnionTypeNode(node))
    return each(node.types, (one, words) => (ts.isLiteralTypeNode(one) ? literal(one.literal, words) : []))
  if (ts.isIndexedAccessTypeNode(node)) return valuesOf(node.objectType, checker)
  if (ts.isTypeQueryNode(node)) {
    const list = valueOfConstant(node.exprName)
    if (list === undefined || !ts.isArrayLiteralExpression(list)) return []
    return each(list.elements, (one, words) => (ts.isIdentifier(one) ? record(one) : literal(one, words)))
  }
  if (ts.isTypeOperatorNode(node) && node.operator === ts.SyntaxKind.KeyOfKeyword)
    return checker
      .getTypeFromTypeNode(node.type)
      .getProperties()
      .map((one) => [one.name, ts.displayPartsToString(one.getDocumentationComment(checker))])
  if (!ts.isTypeReferenceNode(node)) return []
  const { type } = declared(node.typeName).declarations[0]
  const from = ['Exclude', 'Extract'].includes(node.typeName.text) ? node.typeArguments[0] : type
  const own = checker.getTypeFromTypeNode(node)
  const values = (own.types ?? [own]).map(({ value }) => value)
  return from ? valuesOf(from, checker).filter(([value]) => values.includes(value)) : []
}

/** The texts that a type allows and does not list: of the keys of a record, or of what a list has. */
function literalsOf(node, checker) {
  if (ts.isUnionTypeNode(node) || ts.isLiteralTypeNode(node)) return []
  const type = checker.getTypeFromTypeNode(node)
  const all = type.types ?? [type]
  return all.every((one) => one.isStringLiteral()) ? all.map(({ value }) => value) : []
}

/** A destructured parameter has no name: it has that of its type. */
function nameOf({ name, type }) {
  if (name !== '__namedParameters') return name
  const of = namedType(type)?.name
  if (of === undefined || /Options$|^(?:Pick|Omit|Partial)$/.test(of)) return 'options'
  return of[0].toLowerCase() + of.slice(1)
}

/** The types of signatures that have no page, by what they are instead: a program hands them on whole, or its compiler infers them. */
const inside = {
  'what the runtime of a model is made of, reached through `LanguageModel`, `Sequence` and `Trace`':
    'LoadedModel ModelWeights Pass Plan TracedSection AttentionForm Value Operation ExecutionStrategy',
  '`Conversation` is one, or its state as a file': 'TextPlace BegunSequence ConversationState SequenceState',
  'the networks of a predictor, which `openPredictor` and `trainPredictor` make':
    'Network NetworkValues LayerNetworks LayerValues ShadowValues',
  'moments, which a calibration opens': 'HeldMoments',
  'an open file, which `openSafetensors` makes of a path': 'RangedFile',
  'the state of an optimiser': 'Slot',
  'the line to a worker, which `startEngine` opens': 'RpcClient PredictorParts',
  'types that are computed from the signature of an op':
    'PlainOp Definition DefinitionArguments Arrays Given InStorage NumbersConstructor Catalog',
  'the check of an option': 'NameOption OptionRecord',
  'a runner, or what it stores: a command opens one': 'JobStore Job JobContext',
  'the fields of a row, which a task reads': 'RowReader JsonMap',
  'what an experiment or a comparison has in common, which it makes itself': 'ExperimentCache ScoredLogits',
  'the keys of a record': 'sessionSettings',
}
const insides = new Set(Object.values(inside).flatMap((names) => names.split(' ')))

/** Called by typedoc. */
export function load(app) {
  const { converter } = app
  const sources = exportedNames('src')
  /** What stands behind a declaration on its line. */
  const atTheEnd = new Map()
  const remember = (context, reflection) => {
    const [declaration] = context.getSymbolFromReflection(reflection)?.declarations ?? []
    if (declaration === undefined) return
    const { text } = declaration.getSourceFile()
    const [, words] = /^[,;]?[ \t]*\/\/ (?!oxlint)(.*)/.exec(text.slice(declaration.end)) ?? []
    if (words !== undefined) atTheEnd.set(reflection, words)
  }
  /** The values of a type, and their words. */
  const valuesOfType = new Map()
  const literalsOfType = new Map()
  converter.on(Converter.EVENT_CREATE_DECLARATION, (context, reflection) => {
    const [declaration] = context.getSymbolFromReflection(reflection)?.declarations ?? []
    if (declaration === undefined || !ts.isTypeAliasDeclaration(declaration)) return
    const values = valuesOf(declaration.type, context.checker)
    if (values.some(([, words]) => words)) valuesOfType.set(reflection, values)
    const literals = literalsOf(declaration.type, context.checker)
    const rank = (text) => values.findIndex(([value]) => value === text)
    if (literals.length > 0)
      literalsOfType.set(
        reflection,
        literals.toSorted((a, b) => rank(a) - rank(b)),
      )
  })
  // A type that says how its values are made has them in its place.
  converter.on(Converter.EVENT_RESOLVE_BEGIN, () => {
    for (const [one, texts] of literalsOfType)
      one.type = new UnionType(texts.map((text) => new LiteralType(text)))
  })
  converter.on(Converter.EVENT_CREATE_PARAMETER, remember)
  converter.on(Converter.EVENT_CREATE_DECLARATION, remember)

  // Names that the package does not export, but not parameters of types: those of types want a page.
  const withoutPage = new Map()
  converter.addUnknownSymbolResolver((_, of, part, symbol) => {
    const { packagePath, qualifiedName } = symbol ?? {}
    const [name] = qualifiedName?.split('.') ?? []
    if (!packagePath?.startsWith('src/') || !declares(packagePath, name)) return undefined
    if (part === undefined && !insides.has(name)) withoutPage.set(`${name} of ${packagePath}`, of)
    return nameAddress(packagePath, name)
  })

  // Before links are resolved.
  converter.on(
    Converter.EVENT_RESOLVE_END,
    ({ project }) => {
      const all = Object.values(project.reflections)
      const exported = new Map()
      for (const one of all)
        if (one.parent?.kindOf(ReflectionKind.Module) && !one.isReference() && !one.isDocument())
          exported.set(one.name, one)
      const isParameter = (one) => one.kindOf(ReflectionKind.Parameter)
      for (const one of all.filter(isParameter)) one.name = nameOf(one)
      const give = (of, wordsFor) => {
        for (const one of of) {
          if (one.hasComment()) continue
          const words = wordsFor(one)
          if (words.length > 0) one.comment = new Comment(words)
        }
      }
      give(
        all.filter((one) => isParameter(one) || one.kindOf(ReflectionKind.Property)),
        (one) => {
          const behind = atTheEnd.get(one)
          return behind ? [{ kind: 'text', text: behind }] : wordsOfType(one.name, one.type)
        },
      )
      // Twice: what is as another is said after that other.
      for (let round = 0; round < 2; round++)
        give(all.filter(isParameter), (one) => wordsOfFunction(one, exported))
      for (const [one, values] of valuesOfType) {
        // In help a flag says what is needed.
        const sentence = (words) =>
          words[0].toUpperCase() +
          words
            .slice(1)
            .replace(/: --(\w+).*$/s, '; it needs a $1')
            .replace(/\.?$/, '.')
        const rows = values
          .map(([value, words]) => `- \`'${value}'\`: ${words && sentence(words)}`)
          .join('\n')
        one.comment ??= new Comment()
        // The same values, without the names of others.
        delete one.type?.elementSummaries
        one.comment.blockTags.unshift(new CommentTag('@values', [{ kind: 'text', text: rows }]))
      }
      /** A name among words as a link: of a member of the same class, `ShadowModel.chat`, or any that has a capital letter. */
      const linked = (part, of) => {
        const [, kind, name] = (part.kind === 'code' && /^`(?:(\w+)\.)?(\w+)`$/.exec(part.text)) || []
        if (name === undefined) return part
        const type = kind === undefined ? of.parent : exported.get(kind)
        const member = type?.kindOf(ReflectionKind.ClassOrInterface) && type.getChildByName(name)
        if (!member && (kind !== undefined || !/[A-Z]/.test(name))) return part
        const target = member || exported.get(name)
        if (target === of) return part
        const text = part.text.replaceAll('`', '')
        if (target) return { kind: 'inline-tag', tag: '@linkcode', text, target }
        const paths = sources.get(name)
        if (paths?.length !== 1) return part
        const number = numberOfName(paths[0], name)
        const value = number === null ? '' : ` (${number})`
        return { kind: 'text', text: `[\`${text}\`](${nameAddress(paths[0], name)})${value}` }
      }
      // Its star is no sign of emphasis.
      const codes = (part) =>
        part.kind === 'text' ? { ...part, text: part.text.replaceAll(/\b[A-Z]+_\*/g, '`$&`') } : part
      // The names of the start page too, but in the words of a link.
      project.readme = project.readme?.map((part, i, parts) =>
        parts[i - 1]?.text.endsWith('[') ? part : linked(part, project),
      )
      for (const one of all) {
        if (!one.comment || one.isDocument() || one.isProject()) continue
        const of = one.kindOf(ReflectionKind.SomeSignature) ? one.parent : one
        const link = (parts) => parts.map((part) => linked(codes(part), of))
        one.comment.summary = link(one.comment.summary)
        for (const tag of one.comment.blockTags) if (tag.tag !== '@specified') tag.content = link(tag.content)
      }
    },
    -100,
  )

  // A default that has a name leads to it.
  app.renderer.on('endPage', (page) => {
    page.contents = page.contents?.replaceAll(
      /(<span class="tsd-signature-symbol"> = )(\w+)(?=<\/span>)/g,
      (whole, before, name) => {
        const paths = sources.get(name)
        return paths?.length === 1 ? `${before}<a href="${nameAddress(paths[0], name)}">${name}</a>` : whole
      },
    )
  })

  app.on('validateProject', (project) => {
    for (const [name, of] of withoutPage)
      app.logger.validationWarning(
        `${of.getFullName()}: expected a page for ${name}, got none: export it from an entry`,
      )
    for (const one of project.getReflectionsByKind(ReflectionKind.Property)) {
      const words = one.comment?.summary.map(({ text }) => text).join('') ?? ''
      if (!one.flags.isOptional && /(?:^|[;,(]\s*)(?:the )?default\b/i.test(words))
        app.logger.validationWarning(
          `${one.getFriendlyFullName()}: expected no default of a property that must be given, got: ${words}`,
        )
    }
    for (const [one, values] of valuesOfType)
      for (const [value, words] of values)
        if (!words)
          app.logger.validationWarning(
            `${one.getFriendlyFullName()}: expected words about the value ${value}, got none`,
          )
    for (const one of project.getReflectionsByKind(ReflectionKind.Parameter)) {
      const of = one.parent?.parent
      if (one.hasComment() || !of?.kindOf([ReflectionKind.FunctionOrMethod, ReflectionKind.Constructor]))
        continue
      app.logger.validationWarning(`${of.getFriendlyFullName()}: expected words about ${one.name}, got none`)
    }
  })
}
