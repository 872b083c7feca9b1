// One question to a Grape: node link.cjs GRAPE lookup|put|get DATA
const Link = require('grenache-nodejs-link')

const [grape, kind, data] = process.argv.slice(2)
const link = new Link({ grape })
link.start()
const told = (error, result) => {
  console.log('answer ' + JSON.stringify(error ? { error: error.message } : { result }))
  process.exit(0)
}
if (kind === 'put') link.put(JSON.parse(data), told)
else if (kind === 'get') link.get(JSON.parse(data), told)
else link.lookup(JSON.parse(data), {}, told)
