/**
 * README.md of the package: that of the checkout without pictures and notes to tools, with links only to what is packed, and with
 * `npx` before its commands.
 *
 * Between `<!-- checkout -->` and `<!-- /checkout -->` stands what only a checkout has; `<!-- package` begins a comment whose
 * text stands in the package in its place.
 */

/** A link, its words and where it leads. */
const links = /\[([^[\]]*)\]\(([^)]*)\)/g

/**
 * @param isPacked whether the package has a file of this path
 * @throws Error for a link to what is not packed that does more than add to a sentence, as in brackets
 */
export function packageReadme(readme: string, isPacked: (path: string) => boolean): string {
  const leads = (to: string): boolean => /^(#|https:)/.test(to) || isPacked(to.replace(/#.*/, ''))
  const made = readme
    .replaceAll(/<!-- checkout -->[^]*?<!-- \/checkout -->\n*/g, '')
    .replaceAll(/<!-- package\n([^]*?)\n-->/g, '$1')
    .replaceAll(/^<!--[^]*?-->\n+/gm, '')
    .replaceAll(/<!--[^]*?-->/g, '')
    .replaceAll(/!\[[^\]]*\]\([^)]*\)\n*/g, '')
    .replaceAll(/\s+\(\[[^[\]]*\]\(([^)]*)\)\)/g, (words, to: string) => (leads(to) ? words : ''))
    .replaceAll(/;\s+\[[^[\]]*\]\(([^)]*)\)(?=\))/g, (words, to: string) => (leads(to) ? words : ''))
    .replaceAll(/(^|`)shadowllm (?=\w)/gm, '$1npx shadowllm ')
  for (const [link, , to] of made.matchAll(links))
    if (!leads(to)) throw new Error(`README.md: expected a link to what is packed, got ${link}`)
  return made
}
