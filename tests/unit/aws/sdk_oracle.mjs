// SPDX-License-Identifier: MIT
/*
 * sdk_oracle.mjs - where the AWS SDK for JavaScript v3 sends calls, by region, environment and profile files
 *
 * Prints the table that tests/unit/aws/sdk_table.json is: cases with the SDK's answers. Nothing is sent: the request is
 * caught when it is ready. Run by tests/unit/aws/sdk_oracle, with the SDK in the folder of NODE_SDK.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const sdk = createRequire(join(process.env.NODE_SDK, 'package.json'));

const services = {
	ssm: ['client-ssm', 'SSMClient', 'DescribeSessionsCommand', { State: 'Active' }],
	ec2: ['client-ec2', 'EC2Client', 'DescribeVpcsCommand', {}],
	ec2_instance_connect: ['client-ec2-instance-connect', 'EC2InstanceConnectClient', 'SendSSHPublicKeyCommand',
		{ InstanceId: 'i-0123456789abcdef0', InstanceOSUser: 'u', SSHPublicKey: 'k' }],
	sts: ['client-sts', 'STSClient', 'GetCallerIdentityCommand', {}],
	sso: ['client-sso', 'SSOClient', 'GetRoleCredentialsCommand', { accessToken: 't', accountId: '1', roleName: 'r' }],
	sso_oidc: ['client-sso-oidc', 'SSOOIDCClient', 'RegisterClientCommand', { clientName: 'n', clientType: 'public' }],
	route_53: ['client-route-53', 'Route53Client', 'ListHostedZonesByVPCCommand', { VPCId: 'vpc-1', VPCRegion: 'eu-west-1' }],
	kms: ['client-kms', 'KMSClient', 'GenerateDataKeyCommand', { KeyId: 'k', KeySpec: 'AES_256' }],
};

const regions = ['us-east-1', 'us-west-2', 'eu-west-1', 'il-central-1', 'mx-central-1', 'eu-new-9', 'cn-north-1', 'cn-northwest-1',
	'us-gov-west-1', 'us-gov-east-1', 'us-iso-east-1', 'us-iso-west-1', 'us-isob-east-1', 'eu-isoe-west-1', 'us-isof-south-1',
	'us-isof-east-1', 'eusc-de-east-1', 'mars'];

const files = {
	config: '[default]\nregion = r-config\nendpoint_url = https://profile.test\n'
		+ '[profile plain]\nregion = eu-west-1\n'
		+ '[profile s]\nregion = eu-west-1\nservices = dev\nendpoint_url = https://profile.test\n'
		+ '[profile only]\nregion = eu-west-1\nservices = dev\n'
		+ '[profile fips]\nregion = eu-west-1\nuse_fips_endpoint = true\n'
		+ '[profile dual]\nregion = eu-west-1\nuse_dualstack_endpoint = true\n'
		+ '[profile both]\nregion = r-config\n[profile noregion]\noutput = json\n'
		+ '[services dev]\nssm =\n  endpoint_url = https://ssm.test/base\nec2_instance_connect =\n  endpoint_url = https://eic.test\n'
		+ 'sso_oidc =\n  x = y\n  endpoint_url = https://oidc.test:8443\nroute_53 =\n  endpoint_url = http://r53.test\n'
		+ 's3 =\n  endpoint_url = https://s3.test\n',
	credentials: '[both]\nregion = r-creds\n[creds]\nregion = r-creds\n',
};

function cases() {
	const all = [];

	for (const service of Object.keys(services)) {
		for (const region of regions)
			for (const [fips, dual] of [[0, 0], [0, 1], [1, 0], [1, 1]])
				all.push({ service, region, env: { AWS_PROFILE: 'plain',
					...(fips && { AWS_USE_FIPS_ENDPOINT: 'true' }), ...(dual && { AWS_USE_DUALSTACK_ENDPOINT: 'true' }) } });
		const name = 'AWS_ENDPOINT_URL_' + service.toUpperCase();
		for (const profile of ['plain', 's', 'only', 'fips', 'dual'])
			for (const env of [{}, { AWS_ENDPOINT_URL: 'https://all.test' }, { [name]: 'https://one.test:99/x' },
				{ [name]: 'https://one.test:99/x', AWS_ENDPOINT_URL: 'https://all.test' }])
				all.push({ service, env: { AWS_PROFILE: profile, ...env } });
	}
	all.push({ service: 'sts', region: 'aws-global', env: {} });
	for (const env of [{}, { AWS_REGION: 'r-env' }, { AWS_PROFILE: 'both' }, { AWS_PROFILE: 'creds' }, { AWS_PROFILE: 'noregion' },
		{ AWS_PROFILE: 'both', AWS_REGION: 'r-env' }]) {
		all.push({ service: 'kms', env });
		all.push({ service: 'kms', region: 'r-given', env });
	}
	for (const env of [{ AWS_ENDPOINT_URL_SSM: 'https://one.test' }, { AWS_PROFILE: 's' }])
		all.push({ service: 'ssm', endpoint: 'https://given.test:8443/x', env: { AWS_REGION: 'eu-west-1', ...env } });
	return all;
}

/* Containers: what is asked of the endpoint. {port} is the endpoint's, {file} a file that holds "from file", {file}.nl one with a
 * line's end behind it. */
const containers = [
	{ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1:{port}/full?x=y' },
	{ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://localhost:{port}/full', AWS_CONTAINER_AUTHORIZATION_TOKEN: 'from env' },
	{ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1:{port}/full', AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '{file}' },
	{ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1:{port}/full', AWS_CONTAINER_AUTHORIZATION_TOKEN: 'from env',
		AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '{file}' },
	{ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1:{port}/full', AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '{file}.gone' },
	{ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1:{port}/full', AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '{file}.nl' },
	{ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1:{port}/full', AWS_CONTAINER_AUTHORIZATION_TOKEN: 'a\nb' },
	{ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://192.0.2.1/full' },
	{ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://[::1]:1/full' },
];

function environment(env) {
	for (const name of Object.keys(process.env))
		if (name.startsWith('AWS_'))
			delete process.env[name];
	Object.assign(process.env, env);
}

class Caught extends Error {}

async function ask({ service, region, endpoint, env }, folder) {
	const [module, client_name, command, params] = services[service];
	const lib = sdk('@aws-sdk/' + module);
	let caught;

	environment({ ...env, AWS_CONFIG_FILE: join(folder, 'config'), AWS_SHARED_CREDENTIALS_FILE: join(folder, 'credentials') });
	try {
		const client = new lib[client_name]({ ...(region && { region }), ...(endpoint && { endpoint }), maxAttempts: 1,
			credentials: { accessKeyId: 'AKID', secretAccessKey: 's' },
			requestHandler: { handle(request) { caught = request; throw new Caught(); } } });
		await client.send(new lib[command](params));
	} catch (error) {
		if (!caught)
			return { error: error.message };
	}
	const port = caught.port ? ':' + caught.port : '';
	/* The operation's path is not the endpoint's. */
	const path = caught.path.replace(/(\/federation\/credentials|\/client\/register|\/2013-04-01\/hostedzonesbyvpc)?$/, '');
	const scope = /Credential=[^/]*\/[^/]*\/([^/]*)\/([^/]*)\//.exec(caught.headers.authorization ?? '');
	return { url: `${caught.protocol}//${caught.hostname}${port}${path || '/'}`, ...(scope && { region: scope[1], name: scope[2] }) };
}

async function ask_container(env, folder) {
	const lib = sdk('@aws-sdk/credential-provider-http');
	let seen = null;
	const server = createServer((request, response) => {
		seen = { path: request.url, authorization: request.headers.authorization ?? null };
		response.end(JSON.stringify({ AccessKeyId: 'AKID', SecretAccessKey: 's', Token: 't', Expiration: '2099-01-01T00:00:00Z' }));
	});

	await new Promise((done) => server.listen(0, '127.0.0.1', done));
	const file = join(folder, 'token');
	writeFileSync(file, 'from file');
	writeFileSync(file + '.nl', 'from file\n');
	environment(Object.fromEntries(Object.entries(env).map(([name, value]) =>
		[name, value.replace('{port}', server.address().port).replace('{file}', file)])));
	try {
		await lib.fromHttp({ maxRetries: 0, timeout: 1000, logger: { warn() {}, debug() {} } })();
	} catch (error) {
		/* the texts are the SDK's own: only whether it asked at all is told */
		seen ??= { refused: true };
	}
	server.closeAllConnections();
	server.close();
	return seen;
}

const folder = mkdtempSync(join(tmpdir(), 'sdk-oracle-'));
const lines = (list) => list.map((one) => '\t\t' + JSON.stringify(one)).join(',\n');
try {
	const asked = [], boxes = [];

	for (const kind of ['config', 'credentials'])
		writeFileSync(join(folder, kind), files[kind]);
	for (const one of cases())
		asked.push({ ...one, answer: await ask(one, folder) });
	for (const env of containers)
		boxes.push({ env, answer: await ask_container(env, folder) });
	const version = sdk('@aws-sdk/client-ssm/package.json').version;
	process.stdout.write(`{\n\t"sdk": ${JSON.stringify(version)},\n\t"files": ${JSON.stringify(files)},\n`
		+ `\t"cases": [\n${lines(asked)}\n\t],\n\t"containers": [\n${lines(boxes)}\n\t]\n}\n`);
} finally {
	rmSync(folder, { recursive: true });
}
