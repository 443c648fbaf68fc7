// SPDX-License-Identifier: MIT
/*
 * Cases: topologies as a table (one and several CIDR blocks, IPv6, states of associations; the subnet's own and the main route
 * table; each target of a route; default routes; blackholes; peerings active, pending, of another region, read and not readable,
 * cut to what the peer has; prefix lists of ours and of AWS; zones, reverse ones, AWS's own); pages; each permission denied alone, and
 * all; unknown, terminated and odd instances; garbage and faults at each step; Route 53 out of reach; too many prefixes and names;
 * cancellation at each step; sets of prefixes by themselves. AWS is played by tests/aws/play.py.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/unit/aws/aws_fixture.h"

#define INSTANCE "i-0a1b2c3d4e5f60001"
#define SKIP_STATUS 77

/* ---- the play ---- */

static struct {
	pid_t pid;
	int stdin_fd;
	uint16_t control;
	char url[64], ca[128], access_key[64], secret_key[128];
} play;

static void ready_text(const json_t *ready, const char *key, char *out, size_t cap)
{
	const char *text = json_string_value(json_object_get(ready, key));

	assert_non_null(text);
	assert_true((size_t)snprintf(out, cap, "%s", text) < cap);
}

static int play_start(void **state)
{
	int in[2], out[2], status;
	char line[2048];
	ssize_t n = 0, r;

	(void)state;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	play.pid = fork();
	if (play.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/usr/bin/python3", "python3", "tests/aws/play.py", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	play.stdin_fd = in[1];
	while (n < (ssize_t)sizeof(line) - 1 &&
	       (r = read(out[0], line + n, sizeof(line) - 1 - (size_t)n)) > 0) {
		n += r;
		if (line[n - 1] == '\n')
			break;
	}
	line[n] = '\0';
	close(out[0]);
	json_t *ready = json_loads(line, 0, NULL);
	if (!ready && waitpid(play.pid, &status, 0) == play.pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) == SKIP_STATUS)
		exit(SKIP_STATUS); /* no python3-botocore here */
	assert_non_null(ready);
	play.control = (uint16_t)json_integer_value(json_object_get(ready, "control"));
	ready_text(ready, "url", play.url, sizeof(play.url));
	ready_text(ready, "ca", play.ca, sizeof(play.ca));
	ready_text(ready, "access_key", play.access_key, sizeof(play.access_key));
	ready_text(ready, "secret_key", play.secret_key, sizeof(play.secret_key));
	json_decref(ready);
	return 0;
}

static int play_stop(void **state)
{
	int status;

	(void)state;
	close(play.stdin_fd);
	return waitpid(play.pid, &status, 0) == play.pid && status == 0 ? 0 : -1;
}

/* One line of control: a JSON object. Its answer, NUL-terminated, static. */
static const char *play_do(const char *body)
{
	static char text[16384];
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(play.control),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t len = 0;
	ssize_t n;

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	dprintf(fd, "POST /_play HTTP/1.0\r\nContent-Length: %zu\r\n\r\n", strlen(body));
	assert_int_equal(write(fd, body, strlen(body)), strlen(body));
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd);
	if (!strstr(text, " 200 "))
		fail_msg("the play says to %.200s: %s", body, text);
	return text;
}

/* The world before each case: VPC v of instance i in subnet s, nothing else. */
#define V "vpc-0a1b2c3d4e5f60001"
#define S "subnet-0a1b2c3d4e5f60001"
#define P "pcx-0a1b2c3d4e5f60001"
#define L "pl-0a1b2c3d4e5f60001"
#define L2 "pl-0a1b2c3d4e5f60002"

#define CIDR(c, state) "{'cidrBlock':'" c "','cidrBlockState':{'state':'" state "'}}"
#define CIDR6(c, state) "{'ipv6CidrBlock':'" c "','ipv6CidrBlockState':{'state':'" state "'}}"
#define VPC(four, six)                                                                             \
	"{'vpcId':'" V "','cidrBlockAssociationSet':[" four                                        \
	"],'ipv6CidrBlockAssociationSet':[" six "]}"
#define ONE VPC(CIDR("10.77.0.0/16", "associated"), "")
#define SUBNET "{'subnetId':'" S "','vpcId':'" V "','cidrBlock':'10.77.0.0/24'}"
#define ROUTE(to, way, id) "{'destinationCidrBlock':'" to "','" way "':'" id "','state':'active'}"
#define ROUTE6(to, way, id)                                                                        \
	"{'destinationIpv6CidrBlock':'" to "','" way "':'" id "','state':'active'}"
#define ROUTE_PL(to, way, id)                                                                      \
	"{'destinationPrefixListId':'" to "','" way "':'" id "','state':'active'}"
#define LOCAL ROUTE("10.77.0.0/16", "gatewayId", "local")
#define TABLE(id, routes, association)                                                             \
	"{'routeTableId':'" id "','vpcId':'" V "','routeSet':[" routes                             \
	"],'associationSet':[" association "]}"
#define MAIN "{'main':true,'associationState':{'state':'associated'}}"
#define OF_SUBNET "{'main':false,'subnetId':'" S "','associationState':{'state':'associated'}}"
#define TGW "transitGatewayId"
#define PCX "vpcPeeringConnectionId"
#define PEERING(status, more)                                                                      \
	"{'vpcPeeringConnectionId':'" P "','requesterVpcInfo':{'vpcId':'" V                        \
	"','cidrBlock':'10.77.0.0/16'},'accepterVpcInfo':{'vpcId':'vpc-2'" more                    \
	"},'status':{'code':'" status "'}}"
#define PEER88 ",'cidrBlock':'10.88.0.0/16','cidrBlockSet':[{'cidrBlock':'10.88.0.0/16'}]"
#define ZONE_IN(region, name)                                                                      \
	"{'id':'Z1','name':'" name "','vpcs':[{'VPCId':'" V "','VPCRegion':'" region "'}]}"
#define ZONE(name) ZONE_IN("us-east-1", name)
#define AWS_ZONES ZONE("ssm.us-east-1.amazonaws.com.") "," ZONE("amazonaws.com.")
#define ODD_ZONES ZONE("\\\\052.x.") "," ZONE(".") "," ZONE_IN("eu-west-1", "other.")
#define ZONES                                                                                      \
	ZONE("Prod.Internal.")                                                                     \
	"," ZONE("77.10.in-addr.arpa.") "," ZONE("prod.internal.") "," ZONE(                       \
		"notamazonaws.com.") "," ZONE("_x.corp.example") "," AWS_ZONES "," ODD_ZONES

struct topology {
	const char *name;
	/* JSON with ' for ", as the play's world has it; NULL: ONE, SUBNET, none */
	const char *vpcs, *route_tables, *peerings, *lists, *entries, *zones, *deny;
	/* "own: …; routed: …; names: …; missing: …", or "error CODE: part of text or hint" */
	const char *want;
};

static const struct topology topologies[] = {
	{ .name = "one CIDR block", .want = "own: 10.77.0.0/16; routed:; names:; missing:" },
	{ .name = "two blocks, one that goes, one that comes",
	  .vpcs = VPC(
		  CIDR("10.77.0.0/16", "associated") "," CIDR("100.64.0.0/16", "associated") "," CIDR(
			  "10.1.0.0/16",
			  "disassociating") "," CIDR("10.2.0.0/16",
						     "associating") "," CIDR("10.3.0.0/16",
									     "failed"),
		  ""),
	  .want = "own: 10.77.0.0/16 100.64.0.0/16; routed:; names:; missing:" },
	{ .name = "neighbours stay two: their length decides between upstreams",
	  .vpcs = VPC(CIDR("10.77.0.0/16", "associated") "," CIDR("10.76.0.0/16", "associated"),
		      ""),
	  .want = "own: 10.76.0.0/16 10.77.0.0/16; routed:; names:; missing:" },
	{ .name = "the block of a VPC without a list of them",
	  .vpcs = "{'vpcId':'" V "','cidrBlock':'172.31.0.0/16'}",
	  .want = "own: 172.31.0.0/16; routed:; names:; missing:" },
	{ .name = "IPv6",
	  .vpcs = VPC(CIDR("10.77.0.0/16", "associated"),
		      CIDR6("2001:db8:1200::/56", "associated") "," CIDR6("fd12::/56",
									  "disassociated")),
	  .want = "own: 10.77.0.0/16 2001:db8:1200::/56; routed:; names:; missing:" },
	{ .name = "the main table",
	  .route_tables = TABLE("rtb-1", LOCAL "," ROUTE("10.9.0.0/16", TGW, "tgw-1"), MAIN),
	  .want = "own: 10.77.0.0/16; routed: 10.9.0.0/16; names:; missing:" },
	{ .name = "the subnet's own table before the main one",
	  .route_tables = TABLE(
		  "rtb-1", LOCAL "," ROUTE("10.9.0.0/16", TGW, "tgw-1"),
		  MAIN) "," TABLE("rtb-2", LOCAL "," ROUTE("10.8.0.0/16", TGW, "tgw-1"), OF_SUBNET),
	  .want = "own: 10.77.0.0/16; routed: 10.8.0.0/16; names:; missing:" },
	{ .name = "another subnet's table, and none that serves",
	  .route_tables = TABLE("rtb-2", LOCAL "," ROUTE("10.8.0.0/16", TGW, "tgw-1"),
				"{'main':false,'subnetId':'subnet-9'}"),
	  .want = "own: 10.77.0.0/16; routed:; names:; missing:" },
	{ .name = "an association that has ended",
	  .route_tables = TABLE("rtb-1", LOCAL "," ROUTE("10.9.0.0/16", TGW, "tgw-1"),
				MAIN) "," TABLE("rtb-2",
						LOCAL "," ROUTE("10.8.0.0/16", TGW, "tgw-1"),
						"{'main':false,'subnetId':'" S
						"','associationState':{'state':'disassociated'}}"),
	  .want = "own: 10.77.0.0/16; routed: 10.9.0.0/16; names:; missing:" },
	{ .name = "ways that lead on",
	  .route_tables = TABLE(
		  "rtb-1",
		  LOCAL
		  "," ROUTE("10.1.0.0/16", TGW, "tgw-1") "," ROUTE("10.2.0.0/16", "gatewayId", "vgw-1") "," ROUTE(
			  "10.3.0.0/16", "coreNetworkArn",
			  "arn:aws:x") "," ROUTE("10.4.0.0/16", "localGatewayId",
						 "lgw-1") "," ROUTE("10.5.0.0/16",
								    "networkInterfaceId",
								    "eni-1") "," ROUTE6("fd99::/48",
											TGW,
											"tgw-1"),
		  MAIN),
	  .want = "own: 10.77.0.0/16; routed: 10.1.0.0/16 10.2.0.0/16 10.3.0.0/16 10.4.0.0/16 "
		  "10.5.0.0/16 fd99::/48; names:; missing:" },
	{ .name = "ways to the internet, gateway endpoints, no target",
	  .route_tables = TABLE(
		  "rtb-1",
		  LOCAL
		  "," ROUTE("198.51.100.0/24", "gatewayId", "igw-1") "," ROUTE("203.0.113.0/24", "natGatewayId", "nat-1") "," ROUTE(
			  "192.0.2.0/24", "carrierGatewayId",
			  "cagw-1") "," ROUTE6("2001:db8::/32", "egressOnlyInternetGatewayId",
					       "eigw-1") "," ROUTE_PL(L, "gatewayId",
								      "vpce-1") "," ROUTE("10.6.0."
											  "0/16",
											  "x",
											  "y") "," ROUTE("10.7.0.0/16",
													 TGW,
													 ""),
		  MAIN),
	  .lists = "{'prefixListId':'" L "','ownerId':'AWS'}",
	  .entries = "'" L "':[{'cidr':'52.218.0.0/17'}]",
	  .want = "own: 10.77.0.0/16; routed:; names:; missing:" },
	{ .name = "default routes, in one and in halves, and what is never routed",
	  .route_tables = TABLE(
		  "rtb-1",
		  LOCAL
		  "," ROUTE("0.0.0.0/0", TGW, "tgw-1") "," ROUTE6("::/0", TGW, "tgw-1") "," ROUTE("0.0.0.0/1", TGW, "tgw-1") "," ROUTE(
			  "128.0.0.0/1", TGW,
			  "tgw-1") "," ROUTE6("2000::/3", TGW,
					      "tgw-1") "," ROUTE("169.254.0.0/16", TGW,
								 "tgw-1") "," ROUTE("127.0.0.0/8",
										    TGW,
										    "tgw-1") "," ROUTE("224.0.0.0/8",
												       TGW,
												       "tgw-1") "," ROUTE("10.0.0.0/8",
															  TGW,
															  "tgw-1") "," ROUTE6("fc00::/7",
																	      TGW,
																	      "tgw-1"),
		  MAIN),
	  .want = "own: 10.77.0.0/16; routed: 10.0.0.0/8 fc00::/7; names:; missing:" },
	{ .name = "a blackhole",
	  .route_tables = TABLE("rtb-1",
				LOCAL ",{'destinationCidrBlock':'10.9.0.0/16','" TGW
				      "':'tgw-1','state':'blackhole'}",
				MAIN),
	  .want = "own: 10.77.0.0/16; routed:; names:; missing:" },
	{ .name = "a route inside of another and inside of the VPC",
	  .route_tables = TABLE("rtb-1",
				LOCAL "," ROUTE("10.9.7.0/24", TGW, "tgw-1") "," ROUTE(
					"10.9.0.0/16", TGW, "tgw-1") "," ROUTE("10.77.3.0/24",
									       "networkInterfaceId",
									       "eni-1"),
				MAIN),
	  .want = "own: 10.77.0.0/16; routed: 10.9.0.0/16; names:; missing:" },
	{ .name = "an active peering",
	  .route_tables = TABLE("rtb-1", LOCAL "," ROUTE("10.88.0.0/16", PCX, P), MAIN),
	  .peerings = PEERING("active", PEER88),
	  .want = "own: 10.77.0.0/16; routed: 10.88.0.0/16; names:; missing:" },
	{ .name = "a peering's route that is wider than the peer, a default one too, and one "
		  "beside it",
	  .route_tables = TABLE(
		  "rtb-1",
		  LOCAL "," ROUTE("10.0.0.0/8", PCX, P) "," ROUTE("0.0.0.0/0", PCX, P) "," ROUTE(
			  "10.99.0.0/16", PCX, P) "," ROUTE("10.88.5.0/24", PCX, P),
		  MAIN),
	  .peerings = PEERING("active", PEER88),
	  .want = "own: 10.77.0.0/16; routed: 10.88.0.0/16; names:; missing:" },
	{ .name = "narrower than the peer",
	  .route_tables = TABLE("rtb-1", LOCAL "," ROUTE("10.88.5.0/24", PCX, P), MAIN),
	  .peerings = PEERING("active", PEER88),
	  .want = "own: 10.77.0.0/16; routed: 10.88.5.0/24; names:; missing:" },
	{ .name = "a peering that is pending, with a route that says active",
	  .route_tables = TABLE("rtb-1", LOCAL "," ROUTE("10.88.0.0/16", PCX, P), MAIN),
	  .peerings = PEERING("pending-acceptance", PEER88),
	  .want = "own: 10.77.0.0/16; routed:; names:; missing:" },
	{ .name = "a peering that is not there any more",
	  .route_tables = TABLE("rtb-1", LOCAL "," ROUTE("10.88.0.0/16", PCX, P), MAIN),
	  .want = "own: 10.77.0.0/16; routed:; names:; missing:" },
	{ .name = "a peer of another region whose blocks are not told; IPv6 as the route has it",
	  .route_tables = TABLE(
		  "rtb-1", LOCAL "," ROUTE("10.88.0.0/16", PCX, P) "," ROUTE6("fd88::/56", PCX, P),
		  MAIN),
	  .peerings = PEERING("active", ",'region':'us-west-2'"),
	  .want = "own: 10.77.0.0/16; routed: 10.88.0.0/16 fd88::/56; names:; missing:" },
	{ .name = "a peering that the other side asked for",
	  .route_tables = TABLE("rtb-1", LOCAL "," ROUTE("10.0.0.0/8", PCX, P), MAIN),
	  .peerings = "{'vpcPeeringConnectionId':'" P "','accepterVpcInfo':{'vpcId':'" V
		      "','cidrBlock':'10.77.0.0/16'},"
		      "'requesterVpcInfo':{'vpcId':'vpc-2'" PEER88 "},'status':{'code':'active'}}",
	  .want = "own: 10.77.0.0/16; routed: 10.88.0.0/16; names:; missing:" },
	{ .name = "prefix lists: ours to a transit gateway and to a peering, AWS's, one that has "
		  "gone",
	  .route_tables = TABLE("rtb-1",
				LOCAL
				"," ROUTE_PL(L, TGW, "tgw-1") "," ROUTE_PL(L2, PCX, P) "," ROUTE_PL(
					"pl-0a1b2c3d4e5f60003", TGW,
					"tgw-1") "," ROUTE_PL("pl-0a1b2c3d4e5f60004", TGW, "tgw-1"),
				MAIN),
	  .peerings = PEERING("active", PEER88),
	  .lists = "{'prefixListId':'" L "','ownerId':'1'},{'prefixListId':'" L2
		   "','ownerId':'1'},{'prefixListId':'pl-0a1b2c3d4e5f60003','ownerId':'AWS'}",
	  .entries = "'" L "':[{'cidr':'172.20.0.0/24'},{'cidr':'172.20.1.0/24'}],'" L2
		     "':[{'cidr':'10.88.3.0/24'},{'cidr':'10.99.0.0/16'}],"
		     "'pl-0a1b2c3d4e5f60003':[{'cidr':'52.0.0.0/11'}]",
	  .want = "own: 10.77.0.0/16; routed: 10.88.3.0/24 172.20.0.0/24 172.20.1.0/24; names:; "
		  "missing:" },
	{ .name = "zones",
	  .zones = ZONES,
	  .want = "own: 10.77.0.0/16; routed:; names: 77.10.in-addr.arpa _x.corp.example "
		  "notamazonaws.com prod.internal; missing:" },
#define RICH                                                                                       \
	.route_tables = TABLE("rtb-1",                                                             \
			      LOCAL "," ROUTE("10.0.0.0/8", PCX, P) "," ROUTE_PL(L, TGW, "tgw-1"), \
			      MAIN),                                                               \
	.peerings = PEERING("active", PEER88), .lists = "{'prefixListId':'" L "','ownerId':'1'}",  \
	.entries = "'" L "':[{'cidr':'172.20.0.0/24'}]", .zones = ZONE("prod.internal.")
	{ .name = "everything",
	  RICH,
	  .want = "own: 10.77.0.0/16; routed: 10.88.0.0/16 172.20.0.0/24; names: prod.internal; "
		  "missing:" },
	{ .name = "without DescribeVpcs: local routes and subnets",
	  RICH,
	  .deny = "'ec2:DescribeVpcs'",
	  .want = "own: 10.77.0.0/16; routed: 10.88.0.0/16 172.20.0.0/24; names: prod.internal; "
		  "missing: ec2:DescribeVpcs" },
	{ .name = "without DescribeVpcs and DescribeRouteTables: subnets",
	  RICH,
	  .deny = "'ec2:DescribeVpcs','ec2:DescribeRouteTables'",
	  .want = "own: 10.77.0.0/24; routed:; names: prod.internal; missing: "
		  "ec2:DescribeRouteTables ec2:DescribeVpcs" },
	{ .name = "without DescribeVpcs and DescribeSubnets: local routes",
	  RICH,
	  .deny = "'ec2:DescribeVpcs','ec2:DescribeSubnets'",
	  .want = "own: 10.77.0.0/16; routed: 10.88.0.0/16 172.20.0.0/24; names: prod.internal; "
		  "missing: ec2:DescribeSubnets ec2:DescribeVpcs" },
	{ .name = "without DescribeRouteTables",
	  RICH,
	  .deny = "'ec2:DescribeRouteTables'",
	  .want = "own: 10.77.0.0/16; routed:; names: prod.internal; missing: "
		  "ec2:DescribeRouteTables" },
	{ .name = "without DescribeVpcPeeringConnections: the route as it is",
	  RICH,
	  .deny = "'ec2:DescribeVpcPeeringConnections'",
	  .want = "own: 10.77.0.0/16; routed: 10.0.0.0/8 172.20.0.0/24; names: prod.internal; "
		  "missing: ec2:DescribeVpcPeeringConnections" },
	{ .name = "without DescribeManagedPrefixLists",
	  RICH,
	  .deny = "'ec2:DescribeManagedPrefixLists'",
	  .want = "own: 10.77.0.0/16; routed: 10.88.0.0/16 172.20.0.0/24; names: prod.internal; "
		  "missing: ec2:DescribeManagedPrefixLists" },
	{ .name = "without GetManagedPrefixListEntries",
	  RICH,
	  .deny = "'ec2:GetManagedPrefixListEntries'",
	  .want = "own: 10.77.0.0/16; routed: 10.88.0.0/16; names: prod.internal; missing: "
		  "ec2:GetManagedPrefixListEntries" },
	{ .name = "without ListHostedZonesByVPC",
	  RICH,
	  .deny = "'route53:*'",
	  .want = "own: 10.77.0.0/16; routed: 10.88.0.0/16 172.20.0.0/24; names:; missing: "
		  "route53:ListHostedZonesByVPC" },
	{ .name = "with DescribeInstances alone",
	  RICH,
	  .deny = "'ec2:DescribeV*','ec2:DescribeSubnets','ec2:DescribeRouteTables','route53:*'",
	  .want = "error ST_EPERM: the IAM identity needs ec2:DescribeVpcs on *, or at least "
		  "ec2:DescribeSubnets or ec2:DescribeRouteTables" },
	{ .name = "without DescribeInstances",
	  RICH,
	  .deny = "'ec2:DescribeInstances'",
	  .want = "error ST_EPERM: the IAM identity needs ec2:DescribeInstances on *" },
	{ .name = "a VPC without a block",
	  .vpcs = VPC("", ""),
	  .want = "error ST_EPEER: has no CIDR block" },
};

/* "'" to "\"" in a JSON text of the form @fmt. */
static void play_set(const char *fmt, ...) ST_PRINTF(1, 2);

static void play_set(const char *fmt, ...)
{
	static char text[16384];
	va_list ap;

	va_start(ap, fmt);
	assert_true((size_t)vsnprintf(text, sizeof(text), fmt, ap) < sizeof(text));
	va_end(ap);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	play_do(text);
}

static const char *or_else(const char *text, const char *otherwise)
{
	return text ? text : otherwise;
}

static void play_world(const struct topology *t)
{
	play_do("{\"do\": \"clear\"}");
	play_do("{\"do\": \"instance\", \"id\": \"" INSTANCE "\", \"name\": \"b\"}");
	play_set(
		"{'do':'set','ec2':{'vpcs':[%s],'subnets':[%s],'route_tables':[%s],'peerings':[%s],"
		"'prefix_lists':[%s],'prefix_entries':{%s},'page_max':0},'zones':[%s],'deny':[%s]}",
		or_else(t->vpcs, ONE), SUBNET, or_else(t->route_tables, ""),
		or_else(t->peerings, ""), or_else(t->lists, ""), or_else(t->entries, ""),
		or_else(t->zones, ""), or_else(t->deny, ""));
}

/* ---- one question ---- */

struct got {
	unsigned calls;
	struct aws_error error; /* text "": none */
	struct aws_vpc *vpc;
};

static void on_vpc(void *arg, const struct aws_error *error, struct aws_vpc *vpc)
{
	struct got *g = arg;

	g->calls++;
	if (error)
		g->error = *error;
	g->vpc = vpc;
	assert_true(!error == !!vpc);
}

static struct aws_account *account(struct fx *f)
{
	struct aws_account *acc;
	const struct aws_account_opts opts = { .region = "us-east-1",
					       .access_key = play.access_key,
					       .secret_key = play.secret_key,
					       .ca_bundle = play.ca };

	if (!f->n_env)
		fx_setenv(f, "AWS_ENDPOINT_URL", play.url);
	f->aws->limits.backoff_ms = 2;
	assert_int_equal(aws_account_new(&acc, f->aws, &opts), 0);
	return acc;
}

static struct got find(struct fx *f, const char *instance)
{
	struct aws_account *acc = account(f);
	struct got g = { 0 };
	struct aws_vpc_ask *q;
	uint64_t end_ms = loop_now_ms(f->loop) + 60000;

	assert_int_equal(aws_vpc_find(acc, &q, instance, NULL, on_vpc, &g), 0);
	assert_int_equal(g.calls, 0); /* never from within */
	while (!g.calls && loop_now_ms(f->loop) < end_ms)
		assert_int_equal(loop_turn(f->loop, 1000), 0);
	assert_int_equal(g.calls, 1);
	aws_account_free(acc);
	return g;
}

static void put_prefixes(char *out, size_t cap, const struct net_prefix *v, size_t n)
{
	char text[NET_PREFIX_STR];

	for (size_t i = 0; i < n; i++)
		snprintf(out + strlen(out), cap - strlen(out), " %s", net_prefix_str(text, &v[i]));
}

/* As struct topology's want. */
static const char *shown(const struct got *g)
{
	static char out[32768];
	const struct aws_vpc *v = g->vpc;

	if (!v) {
		snprintf(out, sizeof(out), "error %s: %s (%s)", st_errname(g->error.err),
			 g->error.text, g->error.hint);
		return out;
	}
	strcpy(out, "own:");
	put_prefixes(out, sizeof(out), v->own, v->n_own);
	strcat(out, "; routed:");
	put_prefixes(out, sizeof(out), v->routed, v->n_routed);
	strcat(out, "; names:");
	for (size_t i = 0; i < v->n_suffixes; i++)
		sprintf(out + strlen(out), " %s", v->suffixes[i]);
	strcat(out, "; missing:");
	for (size_t i = 0; i < v->n_missing; i++)
		sprintf(out + strlen(out), " %s", v->missing[i]);
	return out;
}

/* Every word of @want behind "error CODE:" in the text or the hint; else the whole. */
static void check_shown(const char *name, const struct got *g, const char *want)
{
	const char *text = shown(g),
		   *part = strncmp(want, "error ", 6) == 0 ? strchr(want, ':') : NULL;
	bool same = part ? strncmp(text, want, (size_t)(part - want)) == 0 && strstr(text, part + 2)
			 : strcmp(text, want) == 0;

	if (!same)
		fail_msg("%s:\n  %s\nnot\n  %s", name, text, want);
}

static void test_topologies(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(topologies); i++) {
		const struct topology *t = &topologies[i];
		struct got g;

		play_world(t);
		g = find(*state, INSTANCE);
		check_shown(t->name, &g, t->want);
		if (g.vpc) {
			assert_string_equal(g.vpc->vpc_id, V);
			assert_string_equal(g.vpc->subnet_id, S);
			assert_string_equal(g.vpc->region, "us-east-1");
			assert_string_equal(g.vpc->instance_id, INSTANCE);
			assert_string_equal(g.vpc->zones_error, "");
		}
		aws_vpc_free(g.vpc);
	}
}

/* The same with pages of one: every list is read to its end. */
static void test_pages(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(topologies); i++) {
		const struct topology *t = &topologies[i];
		struct got g;

		play_world(t);
		play_do("{\"do\": \"set\", \"ec2\": {\"page_max\": 1}}");
		g = find(*state, INSTANCE);
		check_shown(t->name, &g, t->want);
		aws_vpc_free(g.vpc);
	}
}

static const struct topology rich = { RICH };

static void test_instances(void **state)
{
	static const struct {
		const char *id, *more, *want;
	} rows[] = {
		{ "i-0a1b2c3d4e5f60009", NULL, "error ST_ENOENT: does not exist" },
		{ "i-0a", NULL, "error ST_ENOENT: Invalid id" },
		{ "i-0a1b2c3d4e5f60002", "'vpc':''", "error ST_ENOENT: is in no VPC" },
		{ "i-0a1b2c3d4e5f60002", "'vpc':'vpc-<x>'", "error ST_ENOENT: is in no VPC" },
		{ "i-0a1b2c3d4e5f60002", "'subnet':''",
		  "own: 10.77.0.0/16; routed: 10.88.0.0/16 172.20.0.0/24; names: prod.internal; "
		  "missing:" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct got g;

		play_world(&rich);
		if (rows[i].more)
			play_set("{'do':'instance','id':'%s',%s}", rows[i].id, rows[i].more);
		g = find(*state, rows[i].id);
		check_shown(rows[i].id, &g, rows[i].want);
		aws_vpc_free(g.vpc);
	}
	play_do("{\"do\": \"instance\", \"id\": \"i-0a1b2c3d4e5f60002\", \"remove\": true}");
}

static const char *const operations[] = {
	"DescribeInstances",	      "DescribeVpcs",
	"DescribeRouteTables",	      "DescribeVpcPeeringConnections",
	"DescribeManagedPrefixLists", "GetManagedPrefixListEntries",
	"ListHostedZonesByVPC"
};

/* At each step: nonsense, a fault of the service, throttling, a cut. Route 53's leaves the rest as it is. */
static void test_faults(void **state)
{
	static const struct {
		const char *what;
		int err;
	} faults[] = {
		{ "'body':'<a><b>','content_type':'text/xml'", ST_EPEER },
		{ "'body':'<html/>','content_type':'text/html'", 0 },
		{ "'body':'{}'", ST_EPEER },
		{ "'error':'InternalError','status':500", ST_EAGAIN },
		{ "'error':'RequestLimitExceeded','status':503", ST_EAGAIN },
		{ "'error':'OptInRequired','status':401", ST_EPERM },
	};

	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		for (size_t j = 0; j < ARRAY_LEN(faults); j++) {
			bool zones = i + 1 == ARRAY_LEN(operations);
			struct got g;

			play_world(&rich);
			play_set("{'do':'fault','operation':'%s','times':-1,%s}", operations[i],
				 faults[j].what);
			g = find(*state, INSTANCE);
			if (zones || (faults[j].err == ST_EPERM && i > 0)) {
				assert_non_null(g.vpc);
				assert_int_equal(g.vpc->n_own, 1);
				assert_int_equal(g.vpc->zones_error[0] != '\0',
						 zones && faults[j].err != ST_EPERM);
			} else {
				if (g.vpc || (faults[j].err && g.error.err != faults[j].err))
					fail_msg("%s, %s: %s", operations[i], faults[j].what,
						 shown(&g));
				assert_int_equal(g.error.retryable, g.error.err == ST_EAGAIN);
			}
			aws_vpc_free(g.vpc);
		}
}

/* More than we keep: neighbours are joined first, then the longest and last are cut, the same ones each time. */
static void test_many(void **state)
{
	static char zones[300][160];
	static char body[262144];
	struct got g;
	char *at = body;

	play_world(&rich);
	at += sprintf(at, "{\"do\": \"set\", \"ec2\": {\"prefix_entries\": {\"" L "\": [");
	for (unsigned i = 0; i < 2100; i++) /* every second /28 of a /16: nothing to be joined */
		at += sprintf(at, "%s{\"cidr\": \"172.%u.%u.%u/28\"}", i ? "," : "", 16 + i / 2048,
			      i / 8 % 256, i % 8 * 32);
	at += sprintf(
		at,
		",{\"cidr\": \"192.168.0.0/24\"},{\"cidr\": \"192.168.1.0/24\"}]}}, \"zones\": [");
	for (unsigned i = 0; i < ARRAY_LEN(zones); i++) {
		snprintf(zones[i], sizeof(zones[i]),
			 "{\"id\": \"Z%u\", \"name\": \"z%03u.internal.\", \"vpcs\": [{\"VPCId\": "
			 "\"" V "\", \"VPCRegion\": \"us-east-1\"}]}",
			 i, 299 - i);
		at += sprintf(at, "%s%s", i ? "," : "", zones[i]);
	}
	strcpy(at, "]}");
	play_do(body);
	g = find(*state, INSTANCE);
	assert_non_null(g.vpc);
	assert_int_equal(g.vpc->n_own, 1);
	assert_int_equal(g.vpc->n_own + g.vpc->n_routed, AWS_VPC_PREFIXES_MAX);
	/* 2100, one joined of two, the peer, the VPC */
	assert_int_equal(g.vpc->cut_prefixes, 2103 - AWS_VPC_PREFIXES_MAX);
	assert_int_equal(g.vpc->routed[0].len, 16); /* the shortest are kept: the peer … */
	assert_int_equal(g.vpc->routed[g.vpc->n_routed - 1].len, 23); /* … and the joined one */
	assert_int_equal(g.vpc->n_suffixes, AWS_VPC_SUFFIXES_MAX);
	assert_int_equal(g.vpc->cut_suffixes, 300 - AWS_VPC_SUFFIXES_MAX);
	assert_string_equal(g.vpc->suffixes[0], "z000.internal");
	aws_vpc_free(g.vpc);
}

/* Broken off while each of the calls is under way: nothing is left (ASan), no callback comes. */
static void test_cancel(void **state)
{
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		struct aws_account *acc = account(f);
		struct got g = { 0 };
		struct aws_vpc_ask *q;
		char count[96];

		play_world(&rich);
		play_set("{'do':'fault','operation':'%s','times':-1,'delay_ms':300,'cut':'before'}",
			 operations[i]);
		assert_int_equal(aws_vpc_find(acc, &q, INSTANCE, NULL, on_vpc, &g), 0);
		for (uint64_t end_ms = loop_now_ms(f->loop) + 200; loop_now_ms(f->loop) < end_ms;)
			assert_int_equal(loop_turn(f->loop, 20), 0);
		assert_int_equal(g.calls, 0);
		aws_vpc_cancel(q);
		aws_account_free(acc);
		snprintf(count, sizeof(count),
			 "{\"do\": \"wait\", \"operation\": \"%s\", \"timeout_s\": 5}",
			 operations[i]);
		play_do(count);
		assert_int_equal(loop_turn(f->loop, 0), 0);
		assert_int_equal(g.calls, 0);
	}
	aws_vpc_cancel(NULL);
	aws_vpc_free(NULL);
}

static void test_ids(void **state)
{
	(void)state;
	assert_true(aws_id_is_instance(INSTANCE));
	assert_true(aws_id_is_instance("i-0a"));
	assert_false(aws_id_is_instance("i-"));
	assert_false(aws_id_is_instance("mi-0a1b2c3d4e5f60001"));
	assert_false(aws_id_is_instance("i-0A"));
	assert_false(aws_id_is_instance("vpc-1"));
	assert_false(aws_id_is_instance(""));
	assert_false(aws_id_is_instance("i-0123456789abcdef0123456789abcdef"));
}

/* ---- sets of prefixes ---- */

static const struct {
	const char *own, *routed;
	size_t max;
	const char *want;
	size_t cut;
} sets[] = {
	{ "", "", 9, "|", 0 },
	{ "10.0.0.0/8", "10.1.0.0/16", 9, "10.0.0.0/8|", 0 },
	{ "10.1.0.0/16", "10.0.0.0/8", 9, "10.1.0.0/16|10.0.0.0/8", 0 },
	{ "10.1.0.0/16 10.1.0.0/16 10.1.9.0/24", "", 9, "10.1.0.0/16|", 0 },
	{ "10.1.0.7/16", "fd00::1/48", 9, "10.1.0.0/16|fd00::/48", 0 },
	{ "x 10.0.0.0/33 - 0.0.0.0/0 ::/0 8000::/1 10.0.0.0/7", "", 9, "|", 0 },
	{ "10.2.0.0/16 10.3.0.0/16", "", 1, "10.2.0.0/15|", 0 },
	{ "10.1.0.0/16 10.2.0.0/16", "", 1, "10.1.0.0/16|", 1 },
	{ "10.0.0.0/16 10.1.0.0/16 10.2.0.0/15", "", 1, "10.0.0.0/14|", 0 },
	{ "10.0.0.0/8 11.0.0.0/8", "", 1, "10.0.0.0/8|", 1 },
	{ "10.0.0.0/16 10.1.0.0/16", "10.2.0.0/16 10.3.0.0/16", 2, "10.0.0.0/15|10.2.0.0/15", 0 },
	{ "10.1.0.0/16", "10.3.0.0/24 10.4.0.0/20 10.5.0.0/24", 3,
	  "10.1.0.0/16|10.3.0.0/24 10.4.0.0/20", 1 },
	{ "fd00:0:0:2::/64 fd00:0:0:3::/64", "", 1, "fd00:0:0:2::/63|", 0 },
	{ "10.1.0.0/16 fd00::/16", "", 1, "10.1.0.0/16|", 1 },
};

static void set_fill(struct aws_prefixes *s, const char *texts)
{
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", texts);
	for (char *t = strtok_r(copy, " ", &save); t; t = strtok_r(NULL, " ", &save))
		assert_int_equal(aws_prefixes_add(s, t), 0);
}

static void test_sets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		struct aws_prefixes own = { 0 }, routed = { 0 };
		char text[512] = "", *tail;
		size_t cut;

		set_fill(&own, sets[i].own);
		set_fill(&routed, sets[i].routed);
		cut = aws_prefixes_reduce(&own, &routed, sets[i].max);
		put_prefixes(text, sizeof(text), own.v, own.n);
		strcat(text, "|");
		tail = text + strlen(text);
		put_prefixes(text, sizeof(text), routed.v, routed.n);
		if (*tail == ' ')
			memmove(tail, tail + 1, strlen(tail));
		tail = text[0] == ' ' ? text + 1 : text;
		if (strcmp(tail, sets[i].want) != 0 || cut != sets[i].cut)
			fail_msg("set %zu: \"%s\" and %zu cut, not \"%s\" and %zu", i, tail, cut,
				 sets[i].want, sets[i].cut);
		aws_prefixes_fini(&own);
		aws_prefixes_fini(&routed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_sets),
		cmocka_unit_test_setup_teardown(test_topologies, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_pages, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_instances, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_faults, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_many, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_cancel, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, play_start, play_stop);
}
