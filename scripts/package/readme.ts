/**
 * README.md of the package: that of the checkout without pictures and notes to tools, with links only to what is packed, and with
 * `npx` before its commands.
 *
 * Between `<!-- checkout -->` and `<!-- /checkout -->` stands what only a checkout has, and after `<!-- checkout, site -->` what the
 * site has too; `<!-- package`, `<!-- site` and `<!-- package, site` begin a comment whose text stands there in its place.
 */

/** A document as it stands in a place other than a checkout. */
export function textFor(place: 'package' | 'site', text: string): string {
  return text
    .replaceAll(
      /<!-- checkout(, site)? -->\n*([^]*?)<!-- \/checkout -->\n*/g,
      (_, both: string, words: string) => (both !== undefined && place === 'site' ? words : ''),
    )
    .replaceAll(/<!-- (package|site|package, site)\n([^]*?)\n-->/g, (whole, places: string, words: string) =>
      places.includes(place) ? words : whole,
    )
}

/** A link, its words and where it leads. */
const links = /\[([^[\]]*)\]\(([^)]*)\)/g

/**
 * @param isPacked whether the package has a file of this path
 * @throws Error for a link to what is not packed that does more than add to a sentence, as in brackets
 */
export function packageReadme(readme: string, isPacked: (path: string) => boolean): string {
  const leads = (to: string): boolean => /^(#|https:)/.test(to) || isPacked(to.replace(/#.*/, ''))
  const made = textFor('package', readme)
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
