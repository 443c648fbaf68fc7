// SPDX-License-Identifier: MIT
/*
 * aws_ops.c - the one table of services and operations, and what their members are called on the wire
 *
 * Source: the service models of botocore 1.29 (ssm 2014-11-06, ec2 2016-11-15, ec2-instance-connect 2018-04-02, sts 2011-06-15,
 * sso 2019-06-10, sso-oidc 2019-06-10, route53 2013-04-01, kms 2014-11-01); ssm-protocol.md 1
 */
#include <assert.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"

const struct aws_service_row aws_services[AWS_SERVICE_N] = {
	[AWS_SSM] = { "ssm", "ssm", "ssm", "AmazonSSM", NULL },
	[AWS_EC2] = { "ec2", "ec2", "ec2", NULL, "2016-11-15" },
	[AWS_EIC] = { "ec2_instance_connect", "ec2-instance-connect", "ec2-instance-connect",
		      "AWSEC2InstanceConnectService", NULL },
	[AWS_STS] = { "sts", "sts", "sts", NULL, "2011-06-15" },
	[AWS_SSO] = { "sso", "portal.sso", "awsssoportal", NULL, NULL },
	[AWS_OIDC] = { "sso_oidc", "oidc", "awsssooidc", NULL, NULL },
	[AWS_ROUTE53] = { "route_53", "route53", "route53", NULL, NULL },
	[AWS_KMS] = { "kms", "kms", "kms", "TrentService", NULL },
};

static const struct aws_name ec2_names[] = {
	{ "Filters", "Filter" },
	{ "Values", "Value" },
	{ "InstanceIds", "InstanceId" },
	{ "VpcIds", "VpcId" },
	{ "SubnetIds", "SubnetId" },
	{ "RouteTableIds", "RouteTableId" },
	{ "VpcPeeringConnectionIds", "VpcPeeringConnectionId" },
	{ "PrefixListIds", "PrefixListId" },
	{ NULL, NULL },
};

static const struct aws_name sso_names[] = {
	{ "roleName", "role_name" },
	{ "accountId", "account_id" },
	{ NULL, NULL },
};

static const struct aws_name route53_names[] = {
	{ "VPCId", "vpcid" },
	{ "VPCRegion", "vpcregion" },
	{ "MaxItems", "maxitems" },
	{ "NextToken", "nexttoken" },
	{ NULL, NULL },
};

#define PAGES(list_) .token_in = "NextToken", .token_out = "NextToken", .list = (list_)
#define EC2_PAGES(list_) .token_in = "NextToken", .token_out = "nextToken", .list = (list_)
#define SSM(name_) .name = #name_, .service = AWS_SSM, .protocol = AWS_JSON, .iam = "ssm:" #name_
#define EC2(name_)                                                                                 \
	.name = #name_, .service = AWS_EC2, .protocol = AWS_EC2_QUERY, .iam = "ec2:" #name_,       \
	.again = true, .names = ec2_names
#define STS(name_) .name = #name_, .service = AWS_STS, .protocol = AWS_QUERY, .iam = "sts:" #name_
#define OIDC(name_, path_)                                                                         \
	.name = #name_, .service = AWS_OIDC, .protocol = AWS_REST_JSON, .sign = AWS_SIGN_NOT,      \
	.path = (path_)

/* again: reading, or a repetition does no harm. A device code or a refresh token serves once. */
const struct aws_op_row aws_ops[AWS_OP_N] = {
	[AWS_START_SESSION] = { SSM(StartSession), .again = true },
	[AWS_RESUME_SESSION] = { SSM(ResumeSession), .again = true },
	[AWS_TERMINATE_SESSION] = { SSM(TerminateSession), .again = true },
	[AWS_DESCRIBE_INSTANCE_INFORMATION] = { SSM(DescribeInstanceInformation), .again = true,
						PAGES("InstanceInformationList") },
	[AWS_GET_CONNECTION_STATUS] = { SSM(GetConnectionStatus), .again = true },
	[AWS_DESCRIBE_SESSIONS] = { SSM(DescribeSessions), .again = true, PAGES("Sessions") },
	[AWS_DESCRIBE_INSTANCES] = { EC2(DescribeInstances), EC2_PAGES("reservationSet") },
	[AWS_DESCRIBE_VPCS] = { EC2(DescribeVpcs), EC2_PAGES("vpcSet") },
	[AWS_DESCRIBE_SUBNETS] = { EC2(DescribeSubnets), EC2_PAGES("subnetSet") },
	[AWS_DESCRIBE_ROUTE_TABLES] = { EC2(DescribeRouteTables), EC2_PAGES("routeTableSet") },
	[AWS_DESCRIBE_VPC_PEERING_CONNECTIONS] = { EC2(DescribeVpcPeeringConnections),
						   EC2_PAGES("vpcPeeringConnectionSet") },
	[AWS_DESCRIBE_MANAGED_PREFIX_LISTS] = { EC2(DescribeManagedPrefixLists),
						EC2_PAGES("prefixListSet") },
	[AWS_GET_MANAGED_PREFIX_LIST_ENTRIES] = { EC2(GetManagedPrefixListEntries),
						  EC2_PAGES("entrySet") },
	[AWS_SEND_SSH_PUBLIC_KEY] = { .name = "SendSSHPublicKey",
				      .service = AWS_EIC,
				      .protocol = AWS_JSON,
				      .iam = "ec2-instance-connect:SendSSHPublicKey",
				      .again = true },
	[AWS_ASSUME_ROLE] = { STS(AssumeRole), .again = true },
	[AWS_ASSUME_ROLE_WITH_WEB_IDENTITY] = { STS(AssumeRoleWithWebIdentity),
						.sign = AWS_SIGN_NOT, .again = true },
	[AWS_GET_CALLER_IDENTITY] = { STS(GetCallerIdentity), .again = true },
	[AWS_GET_ROLE_CREDENTIALS] = { .name = "GetRoleCredentials",
				       .service = AWS_SSO,
				       .protocol = AWS_REST_JSON,
				       .sign = AWS_SIGN_BEARER,
				       .again = true,
				       .method = "GET",
				       .path = "/federation/credentials",
				       .names = sso_names },
	[AWS_CREATE_TOKEN] = { OIDC(CreateToken, "/token") },
	[AWS_REGISTER_CLIENT] = { OIDC(RegisterClient, "/client/register"), .again = true },
	[AWS_START_DEVICE_AUTHORIZATION] = { OIDC(StartDeviceAuthorization,
						  "/device_authorization"),
					     .again = true },
	[AWS_LIST_HOSTED_ZONES_BY_VPC] = { .name = "ListHostedZonesByVPC",
					   .service = AWS_ROUTE53,
					   .protocol = AWS_REST_XML,
					   .iam = "route53:ListHostedZonesByVPC",
					   .again = true,
					   .method = "GET",
					   .path = "/2013-04-01/hostedzonesbyvpc",
					   .item = "HostedZoneSummary",
					   .names = route53_names,
					   PAGES("HostedZoneSummaries") },
	[AWS_GENERATE_DATA_KEY] = { .name = "GenerateDataKey",
				    .service = AWS_KMS,
				    .protocol = AWS_JSON,
				    .iam = "kms:GenerateDataKey",
				    .again = true },
};
static_assert(ARRAY_LEN(aws_ops) == AWS_OP_N, "aws_ops[] and enum aws_op differ");

json_t *aws_list(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_array(value) ? value : NULL;
}

const char *aws_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}
